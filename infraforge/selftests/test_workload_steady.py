"""Users' experience, computed from five-line histories; and users of a scripted visitor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from infraforge.errors import Inconclusive, TimedOut
from infraforge.recorder import Recorder
from infraforge.workloads.steady import NO_ANSWER, Fared, Users


class Clock:
    """Seconds pass only when told."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def fared(answers: Sequence[tuple[int, str]]) -> Fared:
    """Of one user, asked for one thing at these seconds, with these answers (empty: right)."""
    clock = Clock()
    recorder = Recorder(clock)
    for second, told in answers:
        clock.now = second * 1_000_000_000
        call = recorder.invoke("page", "page")
        call.info(told) if told else call.ok(200)
    return Fared.of(recorder.history)


def test_the_longest_time_without_a_right_answer_is_told() -> None:
    result = fared([(0, ""), (1, ""), (2, "503"), (3, NO_ANSWER), (7, ""), (8, "")])
    assert result.answered == {"page": 4}
    assert result.errors == {"page": {"503": 1, NO_ANSWER: 1}}
    assert result.longest == {"page": 6.0}
    assert result.failures == 2


@pytest.mark.parametrize("told", ["503", "502", "504", NO_ANSWER])
def test_an_admitted_outage_is_honest(told: str) -> None:
    assert fared([(0, told)]).dishonest == {}


@pytest.mark.parametrize("told", ["401", "403", "404", "500", "302 /oauth2/start?rd=/"])
def test_any_other_wrong_answer_is_dishonest(told: str) -> None:
    assert fared([(0, told), (1, "503")]).dishonest == {"page": {told: 1}}


class Someone:
    """A visitor to whom `answer` gives everything."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def twin(self) -> Someone:
        return self

    def get(self, path: str) -> Any:
        return self.answer(path)


def says(status: int, **headers: str) -> Any:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda path: SimpleNamespace(status_code=status, headers=told)


def test_users_go_on_until_each_thing_was_answered() -> None:
    with Users(Someone(says(200)), {"a": "/a", "b": "/b"}, pace=0.001) as users:  # type: ignore[arg-type]
        users.until(answers=3, within=5)
        users.until(answers=3, within=5)
    assert users.fared.errors == {}
    assert min(users.fared.answered.values()) >= 6


def test_users_are_counted_from_the_middle_of_a_question() -> None:
    asked, answer = threading.Event(), threading.Event()

    def late(path: str) -> Any:
        asked.set()
        answer.wait(5)
        return SimpleNamespace(status_code=200, headers={})

    with Users(Someone(late), {"a": "/a"}, pace=0.001) as users:  # type: ignore[arg-type]
        asked.wait(5)
        threading.Timer(0.05, answer.set).start()
        users.until(answers=2, within=5)
    assert users.fared.errors == {}


def test_no_answer_is_an_error_and_does_not_count() -> None:
    def refuses(path: str) -> Any:
        raise requests.ConnectionError

    users = Users(Someone(refuses), {"a": "/a"}, pace=0.01)  # type: ignore[arg-type]
    with users, pytest.raises(TimedOut, match="more right answers"):
        users.until(answers=1, within=0.2)
    assert set(users.fared.errors["a"]) == {NO_ANSWER}


def test_an_unexpected_cookie_is_dishonest() -> None:
    answers = says(200, Set_Cookie="__Host-infraforge_session=; Max-Age=0")
    users = Users(Someone(answers), {"a": "/a"}, pace=0.01)  # type: ignore[arg-type]
    with users, pytest.raises(TimedOut):
        users.until(answers=1, within=0.2)
    assert set(users.fared.dishonest["a"]) == {"200 with a cookie"}


def test_a_failure_of_the_user_itself_is_inconclusive() -> None:
    def fails(path: str) -> Any:
        raise ZeroDivisionError

    users = Users(Someone(fails), {"a": "/a"}, pace=0.01)  # type: ignore[arg-type]
    with pytest.raises(Inconclusive, match="ZeroDivisionError"), users:
        users.until(answers=1, within=5)
