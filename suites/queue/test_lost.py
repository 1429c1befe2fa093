"""Jobs whose messages are lost are published again within the declared time and done once."""

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
def test_jobs_are_done_even_if_their_messages_are_lost(
    platform, developer, project, nemesis, evidence
):
    """After the stream is emptied, each acknowledged job is published again and done once."""
    site = platform.site
    nemesis.inject(faults.Pause("worker"))
    with jobs.Load(developer, project.id, clients=2) as load:
        load.until(acknowledged=20)
    wait_until(lambda: queue.waiting(site) >= 20, within=30, what="all jobs are in the stream")
    queue.empty(site)
    if queue.waiting(site):
        raise Inconclusive("the stream still has messages after it was emptied")
    nemesis.heal()
    read = jobs.outcome(developer, site, project.id, within=declared.retelling(site) + 60)
    history = load.history + nemesis.history + read
    verdict = check(history, acknowledged_writes_kept)
    evidence.attach(history, verdict)
    assert verdict.holds, verdict.explain()
