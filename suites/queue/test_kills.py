"""No kill loses an acknowledged job or gives it a second effect."""

from __future__ import annotations

import secrets

import pytest

from infraforge import faults
from infraforge.checkers import acknowledged_writes_kept, under_fault
from infraforge.probes import queue
from infraforge.verdict import check
from infraforge.wait import wait_until
from infraforge.workloads import jobs

pytestmark = [pytest.mark.exclusive, pytest.mark.control("SOC2-A1.2", "SOC2-PI1.3", "NIST-CP-10")]
BIG = 16 * 1024 * 1024  # bytes: keeps a worker busy long enough to be killed at work


def test_no_job_is_lost_or_done_twice_when_the_worker_is_killed(
    platform, developer, project, nemesis, evidence
):
    """When a worker is killed at work, the next one does each of its acknowledged jobs once."""
    site = platform.site
    developer.put_file(project.id, "big.bin", secrets.token_bytes(BIG))
    with jobs.Load(developer, project.id, file="big.bin") as load:
        load.until(acknowledged=10)
        wait_until(lambda: queue.waiting(site) >= 8, within=30, what="eight jobs are waiting")
        nemesis.inject(faults.KillContainer("worker"))
        load.until(acknowledged=10)
    nemesis.heal()
    read = jobs.outcome(developer, site, project.id, within=60)
    history = load.history + nemesis.history + read
    verdict = check(history, under_fault(acknowledged_writes_kept))
    evidence.attach(history, verdict)
    assert verdict.holds, verdict.explain()


def test_no_job_is_lost_or_done_twice_when_nats_is_killed(
    platform, developer, project, nemesis, evidence
):
    """The backend accepts jobs while NATS is down, and each acknowledged job is done once."""
    site = platform.site
    with jobs.Load(developer, project.id, pace=0.2) as load:
        load.until(acknowledged=15)
        nemesis.inject(faults.KillContainer("nats"))
        load.until(acknowledged=15)
        nemesis.heal()
        load.until(acknowledged=15)
    read = jobs.outcome(developer, site, project.id, within=60)
    history = load.history + nemesis.history + read
    verdict = check(history, under_fault(acknowledged_writes_kept))
    evidence.attach(history, verdict)
    assert verdict.holds, verdict.explain()
