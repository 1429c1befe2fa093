"""What cannot be done goes to the dead letters; what is too much is refused, not hoarded."""

from __future__ import annotations

import secrets

import pytest

from infraforge import faults
from infraforge.checkers import acknowledged_writes_kept
from infraforge.history import Kind
from infraforge.probes import declared, queue
from infraforge.verdict import check, control
from infraforge.wait import wait_until
from infraforge.workloads import jobs
from infraforge.workloads.backend_client import Unknown

WITHIN = 60


@pytest.mark.control("SOC2-PI1.3")
def test_poison_messages_end_in_the_dead_letters(platform, developer, project, evidence):
    """Messages that are no jobs are kept aside whole, and hold up none that is one."""
    site, mark = platform.site, secrets.token_hex(8)
    poison = [
        mark.encode(),
        f'{{"job": "{mark}"}}'.encode(),
        f'["{mark}"]'.encode(),
        b"\xff\xfe" + mark.encode(),
        f'{{"job": {{"{mark}": 1}}}}'.encode(),
    ]
    for data in poison:
        queue.publish(site, "jobs.checksum", data)
    good = developer.create_job(project.id, {"kind": "report"})
    wait_until(
        lambda: developer.read_job(project.id, good.id).state == "done",
        within=WITHIN,
        what="the job behind the poison is done",
        broken=True,
    )

    def buried():
        found = queue.messages(site, "DEADLETTERS", "deadletters.>")
        return [message for message in found if mark.encode() in message.data]

    wait_until(lambda: len(buried()) >= len(poison), WITHIN, what="it is buried", broken=True)
    found = buried()
    evidence.attach("\n".join(f"{dict(message.headers)} {message.data!r}" for message in found))
    assert sorted(message.data for message in found) == sorted(poison)
    assert {message.headers["infraforge-subject"] for message in found} == {"jobs.checksum"}
    assert all(message.headers["infraforge-reason"] for message in found)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.3")
def test_too_many_jobs_are_refused_until_there_is_room(
    platform, developer, project, nemesis, evidence
):
    """With no worker at work, the declared number of jobs is accepted; the rest gets 503."""
    site, limit = platform.site, declared.jobs_limit(platform.site)
    control(queue.waiting(site) == 0, "jobs of others are waiting")
    nemesis.inject(faults.Pause("worker"))
    with jobs.Load(developer, project.id, clients=3, pace=0.01) as load:
        load.until(acknowledged=limit, within=45)
        before = len(load.history)
        wait_until(lambda: len(load.history) >= before + 20, within=20, what="more is asked for")
    with pytest.raises(Unknown) as refused:
        developer.create_job(project.id, {"kind": "report"})
    nemesis.heal()
    outcomes = [call.outcome for call in load.history.calls]
    told = f"{outcomes.count(Kind.OK)} accepted of {len(outcomes)}; then: {refused.value}"
    evidence.attach(told)
    assert refused.value.status == 503
    assert outcomes.count(Kind.OK) == limit, told
    history = load.history + jobs.outcome(developer, site, project.id)
    verdict = check(history, acknowledged_writes_kept)
    evidence.attach(history, verdict)
    assert verdict.holds, verdict.explain()
    assert developer.create_job(project.id, {"kind": "report"}).state == "queued"
