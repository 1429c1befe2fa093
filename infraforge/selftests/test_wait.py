"""Waiting: budgets, last things seen, and stable answers."""

from __future__ import annotations

import itertools
import time

import pytest

from infraforge.errors import Broken, Hopeless, Late, TimedOut
from infraforge.wait import Deadline, NotYet, minutes, seconds, wait_until, wait_until_stable


def test_it_returns_the_answer_at_once() -> None:
    answers = iter([0, "", None, "here"])
    assert wait_until(lambda: next(answers), within=5, every=0.001) == "here"


def test_a_timeout_shows_the_last_thing_seen() -> None:
    seen: list[str] = []
    with pytest.raises(TimedOut, match=r"^not within 0\.02 s: a new primary; last seen: \[\]$"):
        wait_until(lambda: seen, within=0.02, every=0.005, what="a new primary")


def test_the_absence_of_a_promised_fact_is_broken() -> None:
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


def test_a_state_that_keeps_changing_is_reported() -> None:
    numbers = itertools.count()
    with pytest.raises(TimedOut, match=r"not stable within 0\.02 s: members; last seen: \d"):
        wait_until_stable(lambda: next(numbers), within=0.02, for_=1, every=0.001, what="members")


def test_a_fact_after_its_deadline_is_late_and_says_how_late() -> None:
    """However long the look took that saw it: when it was true is not known to be in time."""

    def slow() -> str:
        time.sleep(0.3)
        return "here"

    with pytest.raises(
        TimedOut, match=r"^not within 0\.1 s: it is here; it was true [2-9]\d\d ms late"
    ):
        wait_until(slow, within=0.1, what="it is here")
    with pytest.raises(Late, match=r"by a look that took [3-9]\d\d ms"):
        wait_until(slow, within=0.1, broken=True)
    with pytest.raises(TimedOut, match="late"):
        wait_until_stable(slow, within=0.5, for_=0.1, every=0.15)


def test_no_look_begins_after_the_deadline() -> None:
    began: list[float] = []
    start = time.monotonic()

    def look() -> bool:
        began.append(time.monotonic() - start)
        return False

    with pytest.raises(TimedOut):
        wait_until(look, within=0.05, every=0.04)
    assert max(began) < 0.05


def test_a_used_up_shared_deadline_allows_no_look() -> None:
    used_up = Deadline(0.001)
    used_up.pause(1)
    with pytest.raises(TimedOut, match="there was no time to look"):
        wait_until(lambda: True, used_up)
    assert wait_until(lambda: True, Deadline(5))


def test_a_hopeless_state_ends_the_wait_at_once() -> None:
    states = iter(["starting", "crashed"])

    def look() -> bool:
        raise NotYet(next(states))

    def hopeless(seen: object) -> str | None:
        return "it never restarts" if str(seen) == "crashed" else None

    began = time.monotonic()
    with pytest.raises(Hopeless, match="last seen: crashed: it never restarts; on the way: start"):
        wait_until(look, within=60, every=0.001, error=hopeless)
    with pytest.raises(Broken) as broken:
        wait_until(lambda: "lost", within=60, error=lambda seen: seen == "lost", broken=True)
    assert not isinstance(broken.value, Late), "hopeless is no question of time"
    with pytest.raises(Hopeless):
        wait_until_stable(lambda: "lost", within=60, error=lambda seen: seen == "lost")
    assert time.monotonic() - began < 5


def test_the_changes_seen_are_shown_with_their_times() -> None:
    states = itertools.chain(["primary: pg-0"] * 3, itertools.repeat("primary: none"))

    def look() -> bool:
        raise NotYet(next(states))

    told = r"primary: pg-0 \(0\.0–0\.\d s\) → primary: none \(0\.\d–0\.\d s\)$"  # noqa: RUF001
    with pytest.raises(TimedOut, match=told):
        wait_until(look, within=0.1, every=0.01)


def test_many_changes_are_shown_in_short() -> None:
    numbers = itertools.count()
    with pytest.raises(TimedOut) as ended:
        wait_until(lambda: [] if next(numbers) is None else NotTrue(next(numbers)), 0.2, every=0)
    text = str(ended.value)
    assert "more …" in text
    assert len(text) < 3_000


class NotTrue:
    """False, and lengthy to look at."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"{self._number:09}" * 1_000


def test_a_state_is_shown_as_it_was_when_seen() -> None:
    seen: dict[str, int] = {}

    def look() -> bool:
        raise NotYet(seen)

    with pytest.raises(TimedOut, match=r"last seen: \{\}$"):
        wait_until(look, within=0.01, every=0.005)


def test_budgets_are_seconds() -> None:
    assert (seconds(2), minutes(2)) == (2.0, 120.0)
