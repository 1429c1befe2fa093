"""Waiting: budgets, last things seen, and stable answers."""

from __future__ import annotations

import itertools
import time

import pytest

from infraforge.errors import Broken, TimedOut
from infraforge.wait import Deadline, minutes, seconds, wait_until, wait_until_stable


def test_it_comes_back_with_the_answer_as_soon_as_there_is_one() -> None:
    answers = iter([0, "", None, "here"])
    assert wait_until(lambda: next(answers), within=5, every=0.001) == "here"


def test_a_timeout_tells_the_last_thing_seen() -> None:
    seen: list[str] = []
    with pytest.raises(TimedOut, match=r"^not within 0\.02 s: a new primary; last seen: \[\]$"):
        wait_until(lambda: seen, within=0.02, every=0.005, what="a new primary")


def test_where_the_fact_was_promised_its_absence_is_broken() -> None:
    with pytest.raises(Broken):
        wait_until(lambda: False, within=0.01, every=0.005, broken=True)


def test_it_looks_once_even_with_no_time() -> None:
    assert wait_until(lambda: 1, within=0) == 1
    with pytest.raises(TimedOut):
        wait_until(lambda: 0, within=0)


def test_only_the_named_errors_mean_not_yet() -> None:
    def fact() -> bool:
        raise OSError("refused")

    with pytest.raises(TimedOut, match="refused"):
        wait_until(fact, within=0.01, every=0.005, ignoring=(OSError,))
    with pytest.raises(OSError, match="refused"):
        wait_until(fact, within=5, ignoring=(KeyError,))


def test_a_pause_never_goes_past_the_deadline() -> None:
    deadline = Deadline(0.02)
    began = time.monotonic()
    deadline.pause(10)
    assert time.monotonic() - began < 5
    assert deadline.passed
    assert deadline.left == 0


def test_a_lucky_answer_is_not_a_stable_one() -> None:
    answers = itertools.chain(["a", "b"], itertools.repeat("c"))
    assert wait_until_stable(lambda: next(answers), within=5, for_=0.01, every=0.001) == "c"


def test_what_keeps_changing_is_told() -> None:
    numbers = itertools.count()
    with pytest.raises(TimedOut, match=r"not stable within 0\.02 s: members; last seen: \d"):
        wait_until_stable(lambda: next(numbers), within=0.02, for_=1, every=0.001, what="members")


def test_budgets_are_seconds() -> None:
    assert (seconds(2), minutes(2)) == (2.0, 120.0)
