"""Another session store takes over: in time, and nobody is signed out."""

from __future__ import annotations

import time

import pytest

from infraforge import faults, promotion
from infraforge.components.redis_members import GROUPS
from infraforge.components.redis_sessions import RedisSessions
from infraforge.errors import ClusterError
from infraforge.faults import Away, groups
from infraforge.verdict import control, in_time
from infraforge.wait import Deadline, seconds, wait_until
from infraforge.workloads import steady
from infraforge.workloads.front_door import SESSION_COOKIE, Unexpected
from infraforge.workloads.session_cookie import store_key
from infraforge.workloads.visitor import NoAnswer

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "SOC2-CC6.1", "ISO27001-A.8.14", "NIST-CP-10"),
]

GROUP = "sessions"
ASKED = {"who am I": "/api/me", "projects": "/api/projects", "dashboard": "/"}
FAULTS = {
    "held-down": faults.HoldServerDown(GROUP),
    "frozen": faults.FreezeServer(GROUP),
}
STAYS = seconds(12)  # longer than a promotion would take
AGED = seconds(30)
TIMES = 10
HONEST = {"503"}


@pytest.mark.parametrize("how", FAULTS)
def test_everybody_stays_signed_in_over_a_promotion(
    platform, front_door, devon, visitor, nemesis, evidence, how
):
    """A store that dies or falls silent is replaced in time; until then people are told 503."""
    site = platform.site
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=10)
        watched = promotion.Watched(site, GROUP)
        nemesis.inject(FAULTS[how])
        new = watched.promoted()
        users.until(answers=5, within=4 * promotion.CLIENTS, broken=True)
        with groups.component(GROUP).connect_member(site, new) as store:
            kept = store.exists(store_key(visitor.cookies[SESSION_COOKIE]))
        nemesis.heal()
        users.until(answers=5)
    wait_until(
        lambda: front_door.sign_in(devon.name, devon.password),
        platform.profile.budgets.rejoin,
        what="people can sign in again",
        ignoring=(NoAnswer, Unexpected),
        broken=True,
    )
    seen, fared = watched.seen(), users.fared
    evidence.attach(users.history + nemesis.history, sentinels=str(seen), fared=fared)
    assert kept, f"{new} does not have the session"
    assert fared.dishonest == {}
    assert kinds(fared) <= HONEST
    budget = promotion.within(GROUP)
    in_time(watched.took(nemesis.history.faults[0], seen), budget, "another master was named")
    longest = max(fared.longest.values())
    in_time(longest, budget + promotion.CLIENTS, "all kinds of answers came again")


def test_a_store_that_only_clients_cannot_reach_is_not_replaced(
    platform, visitor, nemesis, evidence
):
    """Sentinels and replicas reach it: nobody is promoted, and people are told 503 until then."""
    watched = promotion.Watched(platform.site, GROUP)
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=5)
        nemesis.inject(faults.CutServerOff(GROUP, Away.CLIENTS))
        deadline = Deadline(STAYS)
        while not deadline.passed:
            deadline.pause(1.0)
            users.complain()
        nemesis.heal()
        users.until(answers=5, within=4 * promotion.CLIENTS, broken=True)
    seen, fared = watched.seen(), users.fared
    evidence.attach(users.history + nemesis.history, sentinels=str(seen), fared=fared)
    control(fared.failures, "no request failed: nobody was cut off")
    assert fared.dishonest == {}
    assert kinds(fared) <= HONEST
    assert seen.promotion(GROUP, watched.old) is None


def test_ten_promotions_leave_no_ghosts_and_sign_nobody_out(platform, visitor, nemesis, evidence):
    """After each, all sentinels count the members and sentinels there are, at any address."""
    site = platform.site
    name, _ = GROUPS[GROUP]
    watched = promotion.Watched(site, GROUP)
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=5)
        for _ in range(TIMES):
            nemesis.inject(faults.PromoteAnother(GROUP))
            nemesis.heal()  # all members linked, all sentinels agree, and none is too many
        nemesis.inject(faults.DeleteServer(GROUP, faults.Position.REPLICA))
        nemesis.heal()
        users.until(answers=5)
    found = wait_until(
        lambda: groups.component(GROUP).look(site),
        platform.profile.budgets.rejoin,
        what=f"{name} is there",
        ignoring=(ClusterError,),
    )
    seen, fared = watched.seen(), users.fared
    evidence.attach(users.history + nemesis.history, sentinels=str(seen), now=found, fared=fared)
    control(seen.promotions(GROUP) >= TIMES, f"the sentinels logged {seen.promotions(GROUP)}")
    assert fared.dishonest == {}
    assert kinds(fared) <= HONEST


def test_a_promotion_makes_no_session_look_unused(platform, front_door, people, nemesis, evidence):
    """A promoted replica never saw a session's use, and takes it for used at its promotion."""
    site, store, person = platform.site, RedisSessions(), people.make("viewer")
    began = time.monotonic()
    visitor = front_door.sign_in(person.name, person.password)
    key = store_key(visitor.cookies[SESSION_COOKIE])
    Deadline(AGED).pause(AGED)
    control(visitor.ask("GET", "/api/me").status_code == 200, "the session never was one")
    nemesis.inject(faults.PromoteAnother(GROUP))
    nemesis.heal()
    written = time.monotonic() - began
    with store.connect(site) as client:
        unused = client.object("idletime", key)
    limit = int(written - AGED / 3)
    ended = store.end_idle(site, key, limit)
    evidence.attach(written_s=f"{written:.0f}", unused_s=unused, ended=ended)
    control(unused >= limit, "the promoted replica knows when the session was used")
    assert ended == 0
    assert visitor.ask("GET", "/api/me").status_code == 200


def kinds(fared: steady.Fared) -> set[str]:
    """Everything that people were told but what they had asked for."""
    return {kind for came in fared.errors.values() for kind in came}
