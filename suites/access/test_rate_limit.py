"""Nobody gets more than a share: by session once signed in, by address before."""

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

# The documented bursts are 200 for a session, 60 for an address without one, 20 for passwords.
MODEST_QUESTIONS, SOON = 40, 5.0
# What is above must not drain away (100, 20 and 5 a second) while a slow machine takes the rest in.
SESSION_SHOTS, STRANGER_SHOTS, PASSWORD_SHOTS = 360, 120, 60
# What the limits of sign-ins and of passwords let through at once, and passwords in each second.
SIGN_INS, PASSWORDS, PASSWORDS_A_SECOND = 41, 21, 5


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
    assert set(statuses) <= {200, TOO_MANY}
    assert neighbour == 200
    recovers(greedy, "/api/me", 200)


def test_an_address_without_a_session_is_limited(front_door, viewer, evidence):
    """Without a session it is the address that is counted; with one, the same address gets on."""
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
    """Made-up session cookies do not get anybody more guesses; fewer are heard than sign-ins."""
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
    # so many are let through by the limit of sign-ins, whatever they are for
    control(most < SIGN_INS, f"{took:.1f} s are too long to tell the two limits apart")
    recovers(front_door.anonymous(), "/login/static/login.css", 200)


def test_who_asks_too_much_is_told_when_to_come_back(front_door, people, evidence):
    """429 is a problem document with Retry-After, and after that time the answer is there again."""
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
    """Beside somebody who never stops asking, another user is answered, every time and soon."""
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
        wait_until(lambda: told.total() > 50, seconds(30), what="the noise goes on")
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
    control(told.total() > 2 * MODEST_QUESTIONS, "there was hardly any noise")
    assert statuses == {200: MODEST_QUESTIONS}
    in_time(worst, SOON, "the slowest answer beside the noise")


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
