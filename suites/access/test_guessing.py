"""Password guessing is slowed down and locks out only the guesser."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from infraforge.components.vault import Vault
from infraforge.probes.sign_ins import DENIED, LET_IN, sign_ins
from infraforge.wait import seconds, wait_until
from infraforge.workloads.front_door import denies

pytestmark = pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5", "NIST-IA-2")

FREE, GUESSES = 5, 12
LONG = 8
"""Seconds: a wait during which the owner can be seen to get in."""


def test_guessing_is_slowed_down_and_locks_nobody_out(platform, front_door, people, evidence):
    """After five wrong passwords few more reach Vault, and the owner's browser still gets in."""
    since = datetime.now(UTC) - timedelta(minutes=1)
    person = people.make("viewer")
    own = front_door.sign_in(person.name, person.password)
    stranger, at_home = front_door.begin(), front_door.begin("/", own.twin())
    answers = [guess(stranger, person.name) for _ in range(GUESSES)]
    assert all(denies(answer) for answer in answers[:FREE])
    assert answers[FREE].status_code == 429
    assert 1 <= int(answers[FREE].headers["Retry-After"]) <= 60
    assert "do not match" not in answers[FREE].text
    answers += guess_until_held_up(stranger, person.name)
    mine = at_home.post_once(person.name, person.password)
    evidence.attach(guesses=str([a.status_code for a in answers]), mine=str(mine.status_code))
    assert mine.status_code == 303, "a stranger's guesses lock the owner out"

    def told():
        return sign_ins(Vault().audit_lines(platform.site, since)).get(person.name, [])

    wait_until(
        lambda: told().count(LET_IN) == 2,
        seconds(20),
        every=1.0,
        what="both of the owner's sign-ins are in the audit log",
        broken=True,
    )
    looked_at = told().count(DENIED)
    evidence.attach(looked_at=str(looked_at))
    assert looked_at == sum(answer.status_code == 401 for answer in answers) < GUESSES


def test_the_right_password_works_after_the_announced_wait(front_door, people):
    """The right password from the guesser's address is not called wrong and works after a wait."""
    person = people.make("viewer")
    attempt = front_door.begin()
    for _ in range(FREE):
        guess(attempt, person.name)
    held_up = attempt.post_once(person.name, person.password)
    assert held_up.status_code == 429
    assert "do not match" not in held_up.text
    wait_as_told(held_up)
    attempt.finish(attempt.submit(person.name, person.password).url)


def guess_until_held_up(attempt, name):
    """Guess and wait as told, until the announced wait is long; the responses."""
    answers = [guess(attempt, name)]
    for _ in range(2 * LONG):
        if answers[-1].status_code == 429:
            if int(answers[-1].headers["Retry-After"]) >= LONG:
                return answers
            wait_as_told(answers[-1])
        answers.append(guess(attempt, name))
    raise AssertionError(f"no wait of {LONG} s was announced: {[a.status_code for a in answers]}")


def wait_as_told(answer):
    until = time.monotonic() + int(answer.headers["Retry-After"])
    wait_until(lambda: time.monotonic() >= until, seconds(61), what="the wait is over")


def guess(attempt, name):
    return attempt.post_once(name, "not the password")
