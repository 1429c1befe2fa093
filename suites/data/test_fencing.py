"""Fills are fenced: a cache that stood still and goes on brings nothing old back."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.checkers import no_stale_read, under_fault
from infraforge.probes import cached
from infraforge.verdict import check, control
from infraforge.workloads import reading, register


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2", "NIST-SI-7")
def test_value_cached_before_a_pause_of_the_cache_is_not_read_after_a_write(
    developer, project, cache, nemesis
):
    """What a paused cache remembers is not served once a write made meanwhile is acknowledged."""
    assert reading.until_hit(developer, project.id) == project
    memory = cached.memory(cache)
    nemesis.inject(faults.Pause("redis-cache"))
    changed = developer.update_project(project.id, name="written while the cache stood still")
    during = developer.read_project(project.id)[0]
    nemesis.heal()
    kept = cached.memory(cache) == memory
    control(kept, "the cache was restarted: it had no old value to bring back")
    after = [developer.read_project(project.id)[0] for _ in range(20)]
    after.append(reading.until_hit(developer, project.id))
    assert during == changed
    assert set(after) == {changed}


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2", "NIST-SI-7")
def test_no_read_is_stale_while_the_cache_is_paused_and_goes_on(
    developer, project, cache, nemesis, evidence
):
    """Readers and writers under way when the cache stops and goes on see no replaced value."""
    reading.until_hit(developer, project.id)
    changed = developer.update_project(project.id, name="before any fault")
    assert reading.until_hit(developer, project.id) == changed
    memory = cached.memory(cache)
    with register.Load(developer, [project.id], readers=4, writers=2) as load:
        load.until(reads=40, writes=6)
        nemesis.inject(faults.Pause("redis-cache"))
        load.until(reads=20, writes=3)  # of two writers: the third began in the pause
        nemesis.heal()
        load.until(reads=60, writes=6, hits=10)
    history = load.history + nemesis.history
    verdict = check(history, under_fault(no_stale_read))
    evidence.attach(history, verdict, ways=load.ways)
    kept = cached.memory(cache) == memory
    control(kept, "the cache was restarted: it had no old value to bring back")
    assert verdict.holds, verdict.explain()
