"""Without its cache the platform is slower but correct."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.checkers import no_stale_read, under_fault
from infraforge.verdict import check
from infraforge.workloads import reading, register


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.4", "ISO27001-A.8.14")
def test_reads_bypass_a_cache_that_is_down_and_hit_it_after_recovery(
    developer, project, nemesis, evidence
):
    """Reads stay correct while the cache is down, and hit it again once it is back."""
    reading.until_hit(developer, project.id)
    with register.Load(developer, [project.id], readers=3, writers=1) as load:
        load.until(reads=30, writes=4)
        nemesis.inject(faults.ScaledToNothing("redis-cache"))
        during = [developer.read_project(project.id)[1] for _ in range(10)]
        load.until(reads=30, writes=2)
        nemesis.heal()
        load.until(reads=40, writes=4, hits=10)
    history = load.history + nemesis.history
    verdict = check(history, under_fault(no_stale_read))
    evidence.attach(history, verdict, ways=load.ways)
    assert set(during) == {"bypass"}
    assert [str(call.completion) for call in load.history.calls if not call.ok] == []
    assert verdict.holds, verdict.explain()
