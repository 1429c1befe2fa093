"""Impossible jobs become dead letters, and jobs beyond the limit are refused."""

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
    """Messages that are not jobs become dead letters unchanged and do not block real jobs."""
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
        messages = queue.messages(site, "DEADLETTERS", "deadletters.>")
        return [message for message in messages if mark.encode() in message.data]

    wait_until(
        lambda: len(buried()) >= len(poison),
        WITHIN,
        what="all poison messages are dead letters",
        broken=True,
    )
    letters = buried()
    evidence.attach("\n".join(f"{dict(letter.headers)} {letter.data!r}" for letter in letters))
    assert sorted(letter.data for letter in letters) == sorted(poison)
    assert {letter.headers["infraforge-subject"] for letter in letters} == {"jobs.checksum"}
    assert all(letter.headers["infraforge-reason"] for letter in letters)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.3")
def test_too_many_jobs_are_refused_until_there_is_room(
    platform, developer, project, nemesis, evidence
):
    """While no worker runs, the backend accepts the declared number of jobs; others get 503."""
    site, limit = platform.site, declared.jobs_limit(platform.site)
    control(queue.waiting(site) == 0, "jobs of other tests are waiting")
    nemesis.inject(faults.Pause("worker"))
    with jobs.Load(developer, project.id, clients=3, pace=0.01) as load:
        load.until(acknowledged=limit, within=45)
        before = len(load.history)
        wait_until(
            lambda: len(load.history) >= before + 20, within=20, what="more jobs are requested"
        )
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
