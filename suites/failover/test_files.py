"""MinIO is down: files cannot be had, the list of them stays true, and nothing else suffers."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.checkers import acknowledged_writes_kept, under_fault
from infraforge.history import Kind
from infraforge.verdict import check
from infraforge.wait import wait_until
from infraforge.workloads import uploads
from infraforge.workloads.backend_client import Unknown


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-SI-7")
def test_files_and_their_list_agree_through_an_outage_of_minio(
    platform, developer, project, nemesis, evidence
):
    """Uploads and downloads get a clear 503 without MinIO; every file listed is whole after it."""
    name = "upload-1.bin"
    with uploads.Uploads(developer, project.id) as uploading:
        uploading.until(ended=5)
        stored = {file.name: file for file in developer.files(project.id)[0]}[name]
        nemesis.inject(faults.ScaledToNothing("minio"))
        uploading.until(ended=2, kind=Kind.INFO)
        with pytest.raises(Unknown) as download:
            developer.get_file(project.id, name)
        with pytest.raises(Unknown) as replacement:
            developer.put_file(project.id, name, b"in its place")
        listed = developer.files(project.id)[0]
        changed = developer.update_project(project.id, name="changed without MinIO")
        nemesis.heal()
        uploading.until(ended=5)
    wait_until(
        lambda: developer.get_file(project.id, name),
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the file can be had again",
        broken=True,
    )
    read, wrong = uploads.read_back(developer, project.id)
    history = uploading.history + nemesis.history + read
    verdict = check(history, under_fault(acknowledged_writes_kept))
    evidence.attach(history, verdict)
    for refused in (download, replacement):
        assert refused.value.status == 503
        assert "object store" in str(refused.value)
    assert stored in listed
    assert changed.version == project.version + 1
    assert wrong == {}
    assert {file.name: file for file in developer.files(project.id)[0]}[name] == stored
    assert verdict.holds, verdict.explain()
