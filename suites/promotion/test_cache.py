"""Another cache takes over: neither what it lacks nor what its predecessor says misleads."""

from __future__ import annotations

import pytest

from infraforge import faults, promotion
from infraforge.checkers import no_stale_read, reads_are_monotonic, under_fault
from infraforge.components.redis_cache import RedisCache
from infraforge.errors import ClusterError
from infraforge.faults import Away
from infraforge.probes import cached
from infraforge.verdict import check, control, in_time
from infraforge.wait import seconds, wait_until
from infraforge.workloads import reading, register

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-CP-10"),
]

GROUP = "cache"
PROMOTING = {
    "held-down": faults.HoldServerDown(GROUP),
    "without-sentinels": faults.CutServerOff(GROUP, Away.SENTINELS),  # two masters, for seconds
}
COPIED = seconds(5)
READS = 10


@pytest.mark.parametrize("how", PROMOTING)
def test_no_read_is_stale_over_a_promotion_of_the_cache(
    platform, developer, project, nemesis, evidence, how
):
    """Another master is named in time, no read is stale, and the cache is of use again."""
    watched = promotion.Watched(platform.site, GROUP)
    with register.Load(developer, [project.id], readers=3, writers=1) as load:
        load.until(reads=20, writes=4, hits=4)
        nemesis.inject(PROMOTING[how])
        new = watched.promoted()
        load.until(reads=20, writes=4)
        nemesis.heal()
        load.until(reads=20, writes=4)
    reading.until_hit(developer, project.id, within=platform.profile.budgets.rejoin)
    seen = watched.seen()
    history = load.history + nemesis.history
    verdict = check(history, under_fault(no_stale_read), reads_are_monotonic)
    evidence.attach(history, verdict, sentinels=str(seen), ways=dict(load.ways), master=new)
    assert verdict.holds, verdict.explain()
    took = watched.took(nemesis.history.faults[0], seen)
    in_time(took, promotion.within(GROUP), "another master was named")


def test_no_read_is_stale_when_the_cache_is_back_at_once(
    platform, developer, project, nemesis, evidence
):
    """A master that was merely killed is master again, empty, or is replaced: no read is stale."""
    with register.Load(developer, [project.id], readers=3, writers=1) as load:
        load.until(reads=20, writes=4, hits=4)
        nemesis.inject(faults.KillServer(GROUP))
        load.until(reads=20, writes=4)
        nemesis.heal()
        load.until(reads=20, writes=4)
    reading.until_hit(developer, project.id, within=platform.profile.budgets.rejoin)
    history = load.history + nemesis.history
    verdict = check(history, under_fault(no_stale_read), reads_are_monotonic)
    evidence.attach(history, verdict, ways=dict(load.ways))
    assert verdict.holds, verdict.explain()


def test_an_invalidation_that_no_replica_has_is_not_lost(
    platform, developer, project, nemesis, evidence
):
    """A promoted replica that still has a replaced value does not bring it back to life."""
    site, cache = platform.site, RedisCache()
    watched = promotion.Watched(site, GROUP)
    reading.until_hit(developer, project.id)
    [replica, *_] = cache.look(site).linked
    wait_until(lambda: of(site, replica, project.id), COPIED, what=f"{replica} has the value")
    nemesis.inject(faults.CutServerOff(GROUP, Away.MEMBERS))
    changed = register.twin(developer).update_project(project.id, name="told to the master alone")
    invalidated = of(site, watched.old, project.id) is None
    nemesis.inject(faults.FreezeServer(GROUP, watched.old, on_top=True))
    new = watched.promoted()
    left = of(site, new, project.id)
    read = [developer.read_project(project.id) for _ in range(READS)]
    nemesis.heal()
    told = ", ".join(f"{found.version} ({way})" for found, way in read)
    evidence.attach(nemesis.history, master=new, left=left, written=changed.version, read=told)
    control(invalidated, f"{watched.old} itself still had the value after the change")
    control(left is not None and left.version < changed.version, f"{new} has no replaced value")
    assert {found.version for found, _ in read} == {changed.version}


def of(site, pod: str, project_id: str) -> cached.Cached | None:
    """What this member holds for the project; None also where it does not answer."""
    try:
        with RedisCache().connect_member(site, pod) as client:
            return cached.project(client, project_id)
    except ClusterError:
        return None
