"""An idle session ends long before the working day does."""

import time

import pytest

from infraforge import faults
from infraforge.components.redis_sessions import RedisSessions
from infraforge.probes import declared
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until
from infraforge.workloads.front_door import SESSION_COOKIE
from infraforge.workloads.session_cookie import store_key

pytestmark = pytest.mark.control("SOC2-CC6.1", "NIST-AC-12")

LOADING = 12  # seconds: the grace period of idle.lua after a restart, and a margin
SHORT = 4  # seconds of idle time; this test sweeps only its own sessions


def test_idle_sessions_end_and_used_ones_do_not(platform, front_door, people):
    """A sweep ends the session without recent requests and keeps the one in use."""
    person = people.make("viewer")
    left, used = (front_door.sign_in(person.name, person.password) for _ in range(2))
    keys = [store_key(visitor.cookies[SESSION_COOKIE]) for visitor in (left, used)]
    store, site = RedisSessions(), platform.site
    with store.connect(site) as client:

        def idle_for_long():
            assert used.ask("GET", "/api/me").status_code == 200
            return client.object("idletime", keys[0]) >= SHORT

        wait_until(idle_for_long, seconds(4 * SHORT), every=0.5, what="one session is idle")
    began = time.monotonic()
    assert used.ask("GET", "/api/me").status_code == 200
    ended = [store.end_idle(site, key, SHORT) for key in reversed(keys)]
    slow = ended != [0, 1] and time.monotonic() - began >= SHORT
    control(not slow, "this machine is so slow that both sessions became idle")
    assert ended == [0, 1]
    assert left.ask("GET", "/api/me").status_code == 401
    assert used.ask("GET", "/api/me").status_code == 200


@pytest.mark.waits
def test_the_store_is_swept_at_the_stated_limit(platform):
    """The store is swept regularly, with the documented idle limit of at most 30 minutes."""
    stated = declared.idle_session(platform.site)
    assert stated <= 1800
    with RedisSessions().connect(platform.site) as client:
        swept = wait_until(
            lambda: int(client.get("idle:swept") or 0) == stated and client.ttl("idle:swept"),
            seconds(60),
            every=1.0,
            what=f"the store was swept with a limit of {stated} s",
            broken=True,
        )
    assert swept > 600 - 90, f"the last sweep was {600 - swept} s ago"


@pytest.mark.exclusive
def test_idle_time_survives_a_restart_of_the_session_store(platform, front_door, people, nemesis):
    """A restart of the session store does not reset the idle time of its sessions.

    Where it has replicas one of them may be promoted meanwhile, which knows no idle times: nobody
    is signed out by that, and idle time counts anew from the first sweep after it.
    """
    person = people.make("viewer")
    left, used = (front_door.sign_in(person.name, person.password) for _ in range(2))
    keys = [store_key(visitor.cookies[SESSION_COOKIE]) for visitor in (left, used)]
    store, site = RedisSessions(), platform.site
    master, began = store.master(site), time.monotonic()
    assert [store.end_idle(site, key, 10 * 3600) for key in keys] == [0, 0]  # notes the last use
    nemesis.inject(faults.KillPod("redis-sessions"))
    wait_until(
        lambda: used.request("GET", "/api/me").status_code == 200,
        platform.profile.budgets.component,
        what="the session store is back",
        ignoring=(OSError,),
    )
    back = time.monotonic()
    # in the first seconds after a restart a use cannot be told from loading the data
    wait_until(lambda: time.monotonic() - back > LOADING, seconds(2 * LOADING))
    assert used.ask("GET", "/api/me").status_code == 200
    limit = int(time.monotonic() - began)  # longer than the store has run since its restart
    if store.master(site) != master:
        assert [store.end_idle(site, key, limit) for key in keys] == [0, 0]
        noted, limit = time.monotonic(), 3
        wait_until(lambda: time.monotonic() - noted > limit, seconds(2 * limit))
        assert used.ask("GET", "/api/me").status_code == 200
    ended = [store.end_idle(site, key, limit) for key in keys]
    assert ended == [1, 0]
    assert left.ask("GET", "/api/me").status_code == 401
    assert used.ask("GET", "/api/me").status_code == 200
