"""Sign-out ends the session itself, not only the browser's cookie."""

import allure
import pytest

from infraforge.components.redis_sessions import RedisSessions
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until
from infraforge.workloads.front_door import SESSION_COOKIE
from infraforge.workloads.session_cookie import store_key

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "NIST-AC-12"),
]

LIFE = 8 * 3600
NO_KEY = -2  # Redis' TTL for a missing key; -1 is a key that never expires


def test_logout_ends_the_session_in_redis(platform, front_door, people):
    """Sign-out removes the session from the store and leaves the user's other session there."""
    person = people.make("viewer")
    leaving = front_door.sign_in(person.name, person.password)
    staying = front_door.sign_in(person.name, person.password)
    ended, kept = (store_key(who.cookies[SESSION_COOKIE]) for who in (leaving, staying))
    with RedisSessions().connect(platform.site) as store:
        wait_until(lambda: store.exists(ended) and store.exists(kept), seconds(5))
        front_door.sign_out(leaving)
        assert not store.exists(ended)
        assert store.exists(kept)


def test_the_cookie_of_an_ended_session_is_refused(front_door, people):
    """A copy of the session cookie, taken before sign-out, is refused afterwards."""
    person = people.make("viewer")
    leaving = front_door.sign_in(person.name, person.password)
    staying = front_door.sign_in(person.name, person.password)
    copied = leaving.twin()
    control(copied.ask("GET", "/api/me").status_code == 200, "the copy never was a session")
    front_door.sign_out(leaving)
    assert SESSION_COOKIE not in leaving.cookies
    assert copied.ask("GET", "/api/me").status_code == 401
    assert staying.ask("GET", "/api/me").status_code == 200


def test_a_session_does_not_outlive_a_working_day(platform, front_door, people):
    """The store expires every session after eight hours, even without a sign-out."""
    person = people.make("viewer")
    visitor = front_door.sign_in(person.name, person.password)
    with RedisSessions().connect(platform.site) as store:
        left = store.ttl(store_key(visitor.cookies[SESSION_COOKIE]))
    control(left != NO_KEY, "the store does not have the session")
    assert LIFE - 60 < left <= LIFE
