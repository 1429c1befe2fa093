"""Every job is done once, with the right result, however often it is requested."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from infraforge.checkers import acknowledged_writes_kept
from infraforge.probes import queue
from infraforge.verdict import check
from infraforge.wait import wait_until
from infraforge.workloads import jobs
from infraforge.workloads.backend_client import Refused

WITHIN = 30


def test_a_job_returns_the_right_result(developer, viewer, project):
    """A checksum job returns the file's SHA-256, a report counts files, and viewers see both."""
    data = b"what the worker reads" * 1000
    developer.put_file(project.id, "plan.txt", data)
    checksum = developer.create_job(project.id, {"kind": "checksum", "file": "plan.txt"})
    report = developer.create_job(project.id, {"kind": "report"})
    for job in (checksum, report):
        wait_until(
            lambda job=job: viewer.read_job(project.id, job.id).state != "queued",
            within=WITHIN,
            what=f"the {job.kind} job has ended",
            broken=True,
        )
    results = {job.kind: job.result for job in viewer.jobs(project.id)}
    assert results == {
        "checksum": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)},
        "report": {"files": 1, "bytes": len(data)},
    }


@pytest.mark.control("SOC2-PI1.3")
def test_a_job_requested_twice_is_done_once(platform, developer, project, evidence):
    """A repeated request with the same id is the same job; a different job under it is refused."""
    job = str(uuid.uuid4())
    body = {"kind": "report", "id": job}
    for _ in range(5):
        assert developer.create_job(project.id, body).id == job
    developer.put_file(project.id, "a", b"a")
    with pytest.raises(Refused) as refused:
        developer.create_job(project.id, {"kind": "checksum", "file": "a", "id": job})
    assert refused.value.status == 409
    read = jobs.outcome(developer, platform.site, project.id)
    evidence.attach(read)
    assert [call.value for call in read.calls] == [(job,), (job,)]


@pytest.mark.control("SOC2-PI1.3")
def test_a_job_with_a_reused_id_is_done(developer):
    """A job id works again in another project once the first job is deleted with its project."""
    body = {"kind": "report", "id": str(uuid.uuid4())}
    for name in ("the first", "the second", "the third"):
        made = developer.create_project(name)
        try:
            assert developer.create_job(made.id, body).state == "queued"
            wait_until(
                lambda made=made: developer.read_job(made.id, body["id"]).state == "done",
                within=WITHIN,
                what=f"the job is done in {name} project",
                broken=True,
            )
        finally:
            developer.delete_project(made.id)


@pytest.mark.control("SOC2-PI1.3")
def test_jobs_of_many_clients_are_each_done_once(platform, developer, project, evidence):
    """Each acknowledged job has exactly one result and one event, and there are no others."""
    with jobs.Load(developer, project.id, clients=3) as load:
        load.until(acknowledged=60)
    history = load.history + jobs.outcome(developer, platform.site, project.id)
    verdict = check(history, acknowledged_writes_kept)
    evidence.attach(history, verdict)
    assert verdict.holds, verdict.explain()


def test_project_events_are_published_once_and_in_order(platform, developer, evidence):
    """The event stream has each change of a project once, in the order of the changes."""
    made = developer.create_project("told of")
    developer.update_project(made.id, "told of again")
    developer.put_file(made.id, "a.txt", b"a")
    developer.delete_file(made.id, "a.txt")
    developer.delete_project(made.id)
    wanted = ["project.created", "project.changed", "file.stored", "file.deleted"]
    wanted.append("project.deleted")
    wait_until(
        lambda: len(queue.events(platform.site, made.id)) >= len(wanted),
        within=WITHIN,
        what="the stream has all events",
        broken=True,
    )
    events = queue.events(platform.site, made.id)
    evidence.attach("\n".join(map(str, events)))
    assert [event["event"] for event in events] == wanted
    assert {event["actor"] for event in events} == {"devon"}
