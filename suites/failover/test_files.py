"""Without MinIO, files are unavailable, their list stays correct, and all else works."""

from __future__ import annotations

import threading

import pytest

from infraforge import faults
from infraforge.checkers import acknowledged_writes_kept, under_fault
from infraforge.components.postgres import Postgres
from infraforge.errors import Inconclusive
from infraforge.history import Kind
from infraforge.probes import objects
from infraforge.verdict import check
from infraforge.wait import wait_until
from infraforge.workloads import uploads
from infraforge.workloads.backend_client import ApiError, Unknown
from infraforge.workloads.register import twin

PIECE = 1024 * 1024
GRACE = 60  # seconds after an upload's last heartbeat (the backend's uploads.py)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-SI-7")
def test_files_and_their_list_agree_through_a_minio_outage(
    platform, developer, project, nemesis, evidence
):
    """Without MinIO transfers get a clear 503; after recovery every listed file is complete."""
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
        what="the file can be downloaded again",
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


@pytest.mark.exclusive
@pytest.mark.waits
@pytest.mark.control("SOC2-PI1.5", "ISO27001-A.8.10")
def test_parts_of_an_interrupted_upload_leave_minio(
    platform, developer, project, nemesis, store, evidence
):
    """The parts of an upload whose backend was killed leave MinIO 60 s after its last heartbeat."""
    killed = threading.Event()

    def body():
        for _ in range(20):
            yield b"x" * PIECE
        killed.wait(60)

    def upload():
        try:
            twin(developer).put_file(project.id, "half.bin", body())
        except ApiError as error:
            ended.append(str(error))

    ended = []
    sending = threading.Thread(target=upload)
    with Postgres().connect(platform.site) as database:
        sending.start()
        try:
            wait_until(
                lambda: [
                    key
                    for key in objects.announced(database, project.id)
                    if objects.unfinished(store, key)
                ],
                within=60,
                what="MinIO has parts of the upload",
            )
            (key,) = objects.announced(database, project.id)
            nemesis.inject(faults.KillContainer("backend"))
        finally:
            killed.set()
            sending.join(90)
        nemesis.heal()
        left = objects.unfinished(store, key)
        evidence.attach(f"{key}: {left}; the client was told: {ended}")
        if not left:
            raise Inconclusive("the killed backend left no parts behind")
        wait_until(
            lambda: not objects.unfinished(store, key) and not objects.stored(store, key),
            within=GRACE + 30,
            every=2.0,
            what="MinIO has no parts of the upload",
            broken=True,
        )
        assert objects.announced(database, project.id) == []
    assert developer.files(project.id)[0] == []
