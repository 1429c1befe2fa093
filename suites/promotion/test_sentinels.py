"""The sentinels that clients ask: one that falls silent, alone or with the master."""

from __future__ import annotations

import pytest

from infraforge import faults, promotion
from infraforge.components import containers, redis_members
from infraforge.faults import processes
from infraforge.probes import connections
from infraforge.verdict import control, in_time
from infraforge.wait import Deadline, seconds
from infraforge.workloads import steady

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10"),
]

GROUP = "sessions"
ASKED = {"who am I": "/api/me", "projects": "/api/projects", "dashboard": "/"}
NOTICED = seconds(2)
STAYS = promotion.within(GROUP) + seconds(3)
HONEST = {"503"}


def test_a_silent_sentinel_is_not_noticed(platform, visitor, nemesis, evidence):
    """Frozen is the one that OAuth2 Proxy listens to: nobody waits longer than 2 s."""
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=10)
        listened_to = asked_by_the_proxy(platform.site)
        nemesis.inject(faults.FreezeServer(GROUP, listened_to))
        users.until(answers=50)
        nemesis.heal()
    fared = users.fared
    evidence.attach(users.history + nemesis.history, sentinel=listened_to, fared=fared)
    assert fared.errors == {}
    in_time(max(fared.longest.values()), NOTICED, "all kinds of answers came again")


def test_a_master_and_the_sentinel_that_is_asked_may_fall_together(
    platform, visitor, nemesis, evidence
):
    """The other two sentinels promote another master in time, and clients hear of it from them."""
    watched = promotion.Watched(platform.site, GROUP)
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=10)
        listened_to = asked_by_the_proxy(platform.site)
        both = (faults.HoldServerDown(GROUP), faults.FreezeServer(GROUP, listened_to))
        nemesis.inject(faults.Together(both))
        new = watched.promoted()
        users.until(answers=5, within=4 * promotion.CLIENTS, broken=True)
        nemesis.heal()
        users.until(answers=5)
    seen, fared = watched.seen(), users.fared
    evidence.attach(
        users.history + nemesis.history,
        sentinels=str(seen),
        sentinel=listened_to,
        master=new,
        fared=fared,
    )
    assert fared.dishonest == {}
    assert {kind for came in fared.errors.values() for kind in came} <= HONEST
    budget = promotion.within(GROUP)
    in_time(watched.took(nemesis.history.faults[0], seen), budget, "another master was named")
    longest = max(fared.longest.values())
    in_time(longest, budget + promotion.CLIENTS, "all kinds of answers came again")


def test_a_master_that_one_sentinel_alone_misses_is_not_replaced(
    platform, visitor, nemesis, evidence
):
    """It takes two to take a master for dead: one alone may just be cut off from it."""
    watched = promotion.Watched(platform.site, GROUP)
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=5)
        lonely = redis_members.sentinels(platform.profile)[0]
        nemesis.inject(faults.CutServerOff(GROUP, faults.Away.MASTER, lonely))
        deadline = Deadline(STAYS)
        while not deadline.passed:
            deadline.pause(1.0)
            users.complain()
        nemesis.heal()
        users.until(answers=5)
    seen, fared = watched.seen(), users.fared
    evidence.attach(users.history + nemesis.history, sentinels=str(seen), fared=fared)
    missed = [one for one in seen.events if (one.sentinel, one.name) == (lonely, "+sdown")]
    control(missed, f"{lonely} did not miss the master")
    assert seen.promotion(GROUP, watched.old) is None
    assert fared.errors == {}


def asked_by_the_proxy(site) -> str:
    """The sentinel that OAuth2 Proxy has most connections to."""
    proxy = containers.find(site, "oauth2-proxy")
    first, *_ = processes.of(site, proxy)
    port = redis_members.SENTINEL_PORT
    found = connections.pods_at(site, redis_members.SENTINEL, proxy, first.pid, port)
    control(found, "OAuth2 Proxy is connected to no sentinel")
    return found[0]
