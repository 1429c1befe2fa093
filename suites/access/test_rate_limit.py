"""Nobody gets more than a share: by session once signed in, by address before."""

from collections import Counter

import pytest

from infraforge.wait import seconds, wait_until
from infraforge.workloads.visitor import TOO_MANY
from infraforge.workloads.volley import Shot, volley

pytestmark = [pytest.mark.exclusive, pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.20")]

# The documented bursts are 200 for a session, 60 for an address without one, 20 for passwords.
# What is above must not drain away (100, 20 and 5 a second) while a slow machine takes the rest in.
SESSION_SHOTS, STRANGER_SHOTS, PASSWORD_SHOTS = 360, 120, 60


def test_a_session_is_limited_and_others_are_not(front_door, people, evidence):
    """Who asks too much is told 429 for a moment; somebody else at the same address is not."""
    greedy, modest = (
        front_door.sign_in(person.name, person.password)
        for person in (people.make("viewer"), people.make("viewer"))
    )
    shots = [shot("/api/me", greedy)] * SESSION_SHOTS
    *statuses, neighbour = volley(
        front_door.origin, front_door.ca_file, [*shots, shot("/api/me", modest)]
    )
    evidence.attach(greedy=dict(Counter(statuses)), modest=str(neighbour))
    assert TOO_MANY in statuses
    assert neighbour != TOO_MANY
    recovers(greedy, "/api/me", 200)


def test_an_address_without_a_session_is_limited(front_door, viewer, evidence):
    """Without a session it is the address that is counted; with one, the same address gets on."""
    shots = [Shot("/api/me")] * STRANGER_SHOTS
    *statuses, signed_in = volley(
        front_door.origin, front_door.ca_file, [*shots, shot("/api/me", viewer.session)]
    )
    evidence.attach(strangers=dict(Counter(statuses)), signed_in=str(signed_in))
    assert TOO_MANY in statuses
    assert signed_in != TOO_MANY
    recovers(front_door.anonymous(), "/api/me", 401)


def test_guessing_passwords_is_limited_whatever_the_cookies(front_door, evidence):
    """Made-up session cookies do not get anybody more guesses."""
    attempt = front_door.begin()
    shots = [
        Shot(
            attempt.form.action,
            {
                "Cookie": f"infraforge_session=made-up-{number}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            "username=ada&password=guess&form=none",
        )
        for number in range(PASSWORD_SHOTS)
    ]
    statuses = Counter(volley(front_door.origin, front_door.ca_file, shots))
    evidence.attach(dict(statuses))
    assert statuses[TOO_MANY]
    recovers(front_door.anonymous(), "/login/static/login.css", 200)


def shot(path, visitor):
    return Shot(path, {"Cookie": visitor.cookie_header()})


def recovers(visitor, path, status):
    """The limit is for a moment: soon the same request is answered again."""
    wait_until(
        lambda: visitor.request("GET", path).status_code == status,
        seconds(15),
        what=f"GET {path} is answered {status} again",
        broken=True,
    )
