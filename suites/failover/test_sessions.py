"""Without the session store, requests get 503, and nobody is signed out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infraforge import faults
from infraforge.components.redis_sessions import RedisSessions
from infraforge.verdict import control
from infraforge.wait import wait_until
from infraforge.workloads import steady
from infraforge.workloads.front_door import SESSION_COOKIE
from infraforge.workloads.session_cookie import store_key
from infraforge.workloads.visitor import NoAnswer

ASKED = {
    "who am I": "/api/me",
    "projects": "/api/projects",
    "dashboard": "/",
    "a page of it": "/projects",
}
FAULTS = {
    "down": faults.ScaledToNothing("redis-sessions"),
    "silent": faults.Pause("redis-sessions"),
}


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-CC6.1", "ISO27001-A.8.14")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_no_session_is_lost_while_the_session_store_is_down(
    platform, front_door, visitor, nemesis, evidence, fault
):
    """While the store is down every request gets 503; after recovery all sessions still work."""
    key = store_key(visitor.cookies[SESSION_COOKIE])
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=10)
        nemesis.inject(fault)
        # in parallel, because the fault does not silence the store for long
        with ThreadPoolExecutor() as pool:
            newcomer = pool.submit(front_door.begin)
            answers = pool.map(lambda path: visitor.twin().get(path), ASKED.values())
            during = dict(zip(ASKED.values(), answers, strict=True))
            turned_away = newcomer.exception()
        nemesis.heal()
        users.until(answers=10, within=platform.profile.budgets.rejoin, broken=True)
    evidence.attach(users.history + nemesis.history, fared=users.fared)
    told = {
        path: (answer.status_code, answer.headers.get("Set-Cookie"))
        for path, answer in during.items()
    }
    assert told == dict.fromkeys(ASKED.values(), (503, None))
    assert isinstance(turned_away, NoAnswer), f"a new sign-in was not refused: {turned_away!r}"
    kind = during["/api/me"].headers["Content-Type"].split(";")[0]
    assert kind == "application/problem+json"
    assert users.fared.dishonest == {}
    with RedisSessions().connect(platform.site) as store:
        assert store.exists(key), "the store lost the session"
    wait_until(
        front_door.begin,
        within=platform.profile.budgets.rejoin,
        ignoring=(NoAnswer,),
        what="a new user can begin a sign-in",
        broken=True,
    )


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-CC6.1", "ISO27001-A.8.14")
def test_no_session_is_lost_when_the_session_store_crashes(platform, visitor, nemesis, evidence):
    """After kill -9 of the store no user is signed out, and the store still has the session."""
    key = store_key(visitor.cookies[SESSION_COOKIE])
    with steady.Users(visitor, ASKED) as users:
        users.until(answers=10)
        nemesis.inject(faults.KillContainer("redis-sessions", "redis"))
        nemesis.heal()
        users.until(answers=10, within=platform.profile.budgets.rejoin, broken=True)
    evidence.attach(users.history + nemesis.history, fared=users.fared)
    assert users.fared.dishonest == {}
    control(users.fared.failures, "no request failed: the crash was over too soon")
    with RedisSessions().connect(platform.site) as store:
        assert store.exists(key), "the store lost the session"
