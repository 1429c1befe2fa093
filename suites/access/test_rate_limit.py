"""Rate limits: per session for signed-in users, per address for everybody else."""

import math
import time
from collections import Counter

import pytest

from infraforge.verdict import control, in_time
from infraforge.wait import seconds, wait_until
from infraforge.workloads.noise import noise
from infraforge.workloads.visitor import TOO_MANY
from infraforge.workloads.volley import Shot, answers, volley

pytestmark = [pytest.mark.exclusive, pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.20")]

# Documented bursts: 200 for a session, 60 for an address without one, 20 for passwords.
MODEST_QUESTIONS, SOON = 40, 5.0
# So many that even a slow machine exceeds the burst before it drains (100, 20, 5 a second).
SESSION_SHOTS, STRANGER_SHOTS, PASSWORD_SHOTS = 360, 120, 60
# Bursts of the sign-in limit and of the password limit, and the password limit's rate.
SIGN_INS, PASSWORDS, PASSWORDS_A_SECOND = 41, 21, 5


def test_a_session_is_limited_and_others_are_not(front_door, people, evidence):
    """A session beyond its limit briefly gets 429; another at the same address does not."""
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
    assert set(statuses) <= {200, TOO_MANY}
    assert neighbour == 200
    recovers(greedy, "/api/me", 200)


def test_an_address_without_a_session_is_limited(front_door, viewer, evidence):
    """An address without a session is limited; a session from the same address still works."""
    shots = [Shot("/api/me")] * STRANGER_SHOTS
    *statuses, signed_in = volley(
        front_door.origin, front_door.ca_file, [*shots, shot("/api/me", viewer.session)]
    )
    evidence.attach(strangers=dict(Counter(statuses)), signed_in=str(signed_in))
    assert TOO_MANY in statuses
    assert set(statuses) <= {401, TOO_MANY}
    assert signed_in == 200
    recovers(front_door.anonymous(), "/api/me", 401)


def test_guessing_passwords_is_limited_whatever_the_cookies(front_door, evidence):
    """Invented session cookies buy no extra guesses, and passwords have their own lower limit."""
    attempt = front_door.begin()
    own = attempt.visitor.cookie_header()
    shots = [
        Shot(
            attempt.form.action,
            {
                "Cookie": f"{own}; __Host-infraforge_session=made-up-{number}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            "username=ada&password=guess&form=none",
        )
        for number in range(PASSWORD_SHOTS)
    ]
    began = time.monotonic()
    statuses = Counter(volley(front_door.origin, front_door.ca_file, shots))
    took = time.monotonic() - began
    heard = PASSWORD_SHOTS - statuses[TOO_MANY]
    most = PASSWORDS + math.ceil(PASSWORDS_A_SECOND * took)
    evidence.attach(dict(statuses), heard=f"{heard} in {took:.1f} s, {most} at most")
    control(all(status < 500 for status in statuses), f"the login page failed: {dict(statuses)}")
    assert statuses[TOO_MANY]
    assert heard <= most
    # the sign-in limit alone would let SIGN_INS requests through
    control(most < SIGN_INS, f"{took:.1f} s is too long to tell the two limits apart")
    recovers(front_door.anonymous(), "/login/static/login.css", 200)


def test_a_limited_client_is_told_when_to_retry(front_door, people, evidence):
    """A 429 is a problem document with Retry-After, and a request after that time is served."""
    person = people.make("viewer")
    greedy = front_door.sign_in(person.name, person.password)
    told = answers(front_door.origin, front_door.ca_file, [shot("/api/me", greedy)] * SESSION_SHOTS)
    refusals = [answer for answer in told if answer.status == TOO_MANY]
    evidence.attach(dict(Counter(answer.status for answer in told)))
    assert refusals
    waits = {answer.header("Retry-After") for answer in refusals}
    kinds = {answer.header("Content-Type").split(";")[0] for answer in refusals}
    assert kinds == {"application/problem+json"}
    assert all(wait.isdecimal() and 1 <= int(wait) <= 60 for wait in waits), waits
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= max(map(int, waits)), seconds(120))
    assert greedy.request("GET", "/api/me").status_code == 200


def test_one_noisy_user_does_not_starve_another(front_door, people, evidence):
    """While one user floods the API, every request of another user is served, and soon."""
    noisy, modest = (
        front_door.sign_in(person.name, person.password)
        for person in (people.make("viewer"), people.make("viewer"))
    )
    headers = {"Cookie": noisy.cookie_header()}
    shots = [shot("/api/projects", noisy)] * SESSION_SHOTS
    at_once = Counter(volley(front_door.origin, front_door.ca_file, shots))
    with noise(
        front_door.origin, front_door.ca_file, "/api/projects", headers, connections=16
    ) as told:
        wait_until(lambda: told.total() > 50, seconds(30), what="the noisy user got 50 responses")
        taken, statuses = [], Counter()
        for _ in range(MODEST_QUESTIONS):
            began = time.monotonic()
            statuses[modest.request("GET", "/api/projects").status_code] += 1
            taken.append(time.monotonic() - began)
    worst, middle = max(taken), sorted(taken)[len(taken) // 2]
    evidence.attach(
        at_once=dict(at_once),
        noisy=dict(told),
        modest=dict(statuses),
        seconds=f"{middle:.3f} … {worst:.3f}",
    )
    assert at_once[TOO_MANY]
    control(told.total() > 2 * MODEST_QUESTIONS, "the noisy user sent too few requests")
    assert statuses == {200: MODEST_QUESTIONS}
    in_time(worst, SOON, "the slowest response during the noise")


def shot(path, visitor):
    return Shot(path, {"Cookie": visitor.cookie_header()})


def recovers(visitor, path, status):
    """Wait until the limit has passed and the same request gets its usual status."""
    wait_until(
        lambda: visitor.request("GET", path).status_code == status,
        seconds(15),
        what=f"GET {path} gets {status} again",
        broken=True,
    )
