"""Jobs whose messages are lost: told of again in the stated time, and done once."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.checkers import acknowledged_writes_kept
from infraforge.errors import Inconclusive
from infraforge.probes import declared, queue
from infraforge.verdict import check
from infraforge.wait import wait_until
from infraforge.workloads import jobs


@pytest.mark.exclusive
@pytest.mark.waits
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.3", "NIST-CP-10")
def test_jobs_whose_messages_are_lost_are_done_all_the_same(
    platform, developer, project, nemesis, evidence
):
    """The stream is emptied while the worker stands still: every acknowledged job is done once."""
    site = platform.site
    nemesis.inject(faults.Pause("worker"))
    with jobs.Load(developer, project.id, clients=2) as load:
        load.until(acknowledged=20)
    wait_until(lambda: queue.waiting(site) >= 20, within=30, what="all are in the stream")
    queue.empty(site)
    if queue.waiting(site):
        raise Inconclusive("the stream was not emptied")
    nemesis.heal()
    read = jobs.outcome(developer, site, project.id, within=declared.retelling(site) + 60)
    history = load.history + nemesis.history + read
    verdict = check(history, acknowledged_writes_kept)
    evidence.attach(history, verdict)
    assert verdict.holds, verdict.explain()
