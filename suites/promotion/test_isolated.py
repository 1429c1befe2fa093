"""A master that nobody hears of: what it still acknowledges is lost, so it must soon refuse."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from infraforge import faults, promotion
from infraforge.errors import ClusterError
from infraforge.faults import Away, groups
from infraforge.history import Call, History
from infraforge.probes import promotions
from infraforge.verdict import control, in_time
from infraforge.wait import seconds, wait_until
from infraforge.workloads.direct import DirectWrites

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-CP-10"),
]

RECONFIGURED = seconds(2)  # until the last replica has left a master that only sentinels miss
WOKEN = seconds(1)  # a frozen master answers what it was sent before it counts its replicas
MORE = 50


@dataclass(frozen=True)
class Case:
    """A group, whom its master is cut off from, and whether another is promoted."""

    group: str
    away: Away
    replaced: bool = True


CASES = {
    "cache-from-everybody": Case("cache", Away.EVERYBODY),
    "sessions-from-everybody": Case("sessions", Away.EVERYBODY),
    "sessions-from-replicas": Case("sessions", Away.MEMBERS, replaced=False),
}


@pytest.mark.parametrize("which", CASES)
def test_an_isolated_master_refuses_before_another_takes_writes(platform, nemesis, evidence, which):
    """Within max-lag + 2 s it takes no write, and no two masters of a group take any."""
    case, site = CASES[which], platform.site
    watched = promotion.Watched(site, case.group)
    own = groups.component(case.group)
    with DirectWrites(site, own, watched.old) as writes:
        writes.until(acknowledged=MORE)
        nemesis.inject(faults.CutServerOff(case.group, case.away))
        writes.until(refused=MORE, broken=True, within=3 * promotion.within(case.group))
        master = watched.promoted() if case.replaced else watched.old
        nemesis.heal()
    [cut] = nemesis.history.faults
    history = writes.history + nemesis.history + writes.read(master)
    lost, seen = lost_of(history), watched.seen()
    last = last_acknowledged(history, before=nemesis.history.operations[-2].time)
    takes_over = seen.taking_over(case.group)
    evidence.attach(
        history,
        sentinels=str(seen),
        refused_after_s=f"{(last - cut.completion.time) / 1e9:.2f}",
        acknowledged_and_lost=str(len(lost)),
        of=str(writes.acknowledged),
    )
    assert all(call.completion.time > cut.invoke.time for call in lost)
    assert (takes_over is not None) == case.replaced
    if takes_over is None:
        assert not lost
    else:
        assert promotions.wall(last) < takes_over.at, "two masters took writes at a time"
    # from when the cut was proven: it may have begun earlier, but not later
    least = (last - cut.completion.time) / 1e9
    in_time(least, promotion.refused_within(case.group), "the isolated master took no write")


def test_a_master_without_sentinels_refuses_once_its_replicas_have_left(
    platform, nemesis, evidence
):
    """It cannot know that it was replaced, but takes writes for max-lag + 2 s more at most."""
    site, group = platform.site, "sessions"
    watched = promotion.Watched(site, group)
    with DirectWrites(site, groups.component(group), watched.old) as writes:
        writes.until(acknowledged=MORE)
        nemesis.inject(faults.CutServerOff(group, Away.SENTINELS))
        new = watched.promoted()
        writes.until(refused=MORE, broken=True, within=3 * promotion.within(group))
        nemesis.heal()
    history = writes.history + nemesis.history + writes.read(new)
    lost, seen = lost_of(history), watched.seen()
    last = last_acknowledged(history, before=nemesis.history.operations[-2].time)
    takes_over = seen.taking_over(group)
    control(takes_over is not None, "the sentinels logged no promotion")
    over = (promotions.wall(last) - takes_over.at).total_seconds()
    evidence.attach(
        history,
        sentinels=str(seen),
        two_masters_s=f"{over:.2f}",
        acknowledged_and_lost=str(len(lost)),
        of=str(writes.acknowledged),
    )
    in_time(over, promotion.refused_within(group) + RECONFIGURED, "the former master took no write")


def test_a_deposed_master_that_wakes_soon_takes_no_write(platform, nemesis, evidence):
    """What was frozen over a promotion refuses within a second; what it acknowledges is counted."""
    site, group = platform.site, "sessions"
    watched = promotion.Watched(site, group)
    with DirectWrites(site, groups.component(group), watched.old) as writes:
        writes.until(acknowledged=MORE)
        nemesis.inject(faults.FreezeServer(group))
        new = watched.promoted()
        before = writes.acknowledged
        nemesis.heal()
        writes.until(refused=1, broken=True)
    woken = nemesis.history.operations[-2]  # heal's beginning; its end is when all is whole
    after = writes.acknowledged - before
    history = writes.history + nemesis.history + writes.read(new)
    lost = lost_of(history)
    last = last_acknowledged(history)
    took = max(0.0, (last - woken.time) / 1e9)
    evidence.attach(
        history,
        acknowledged_after_waking=str(after),
        for_s=f"{took:.2f}",
        acknowledged_and_lost=str(len(lost)),
    )
    frozen = nemesis.history.faults[0]
    assert all(call.completion.time > frozen.invoke.time for call in lost)
    in_time(took, WOKEN + promotion.STRUCK, "the deposed master took no write")


def lost_of(history: History) -> list[Call]:
    """What was acknowledged and is not in the final read."""
    [read] = history.of("read")
    return [call for call in history.of("add") if call.ok and call.value not in set(read.value)]


def last_acknowledged(history: History, before: float = float("inf")) -> int:
    """When the last write was (ns); before: of those until then."""
    times = [call.completion.time for call in history.of("add") if call.ok]
    return max(time for time in times if time < before)


def test_a_crash_takes_acknowledged_writes_of_its_last_instants_alone(platform, nemesis, evidence):
    """What a crash loses was acknowledged in its last moment, and is counted."""
    site, group = platform.site, "cache"
    watched = promotion.Watched(site, group)
    with DirectWrites(site, groups.component(group), watched.old) as writes:
        writes.until(acknowledged=MORE)
        nemesis.inject(faults.HoldServerDown(group))
        new = watched.promoted()
    read = wait_until(
        lambda: writes.read(new),
        platform.profile.budgets.rejoin,
        what=f"{new} can be read",
        ignoring=(ClusterError,),
    )
    nemesis.heal()
    history = writes.history + nemesis.history + read
    lost = lost_of(history)
    evidence.attach(history, acknowledged_and_lost=str(len(lost)), of=str(writes.acknowledged))
    [fault] = nemesis.history.faults
    assert all(call.completion.time > fault.invoke.time for call in lost)
