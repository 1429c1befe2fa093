"""Waiting: the only sleep in the project, and every wait has a budget and says what it last saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from infraforge.errors import Broken, TimedOut

T = TypeVar("T")


def seconds(number: float) -> float:
    """A budget in seconds."""
    return float(number)


def minutes(number: float) -> float:
    """A budget in minutes, as seconds."""
    return number * 60.0


class Deadline:
    """A moment after which waiting ends (monotonic clock).

    within: seconds from now.
    """

    def __init__(self, within: float) -> None:
        self.within = within
        self._end = time.monotonic() + within

    @property
    def left(self) -> float:
        """Seconds left; 0 when passed."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0

    def pause(self, duration: float) -> None:
        """Sleep for `duration` seconds, but never past the deadline."""
        time.sleep(min(duration, self.left))


def wait_until(
    fact: Callable[[], T],
    within: float,
    *,
    every: float = 0.2,
    what: str = "",
    ignoring: tuple[type[Exception], ...] = (),
    broken: bool = False,
) -> T:
    """What `fact` returns, as soon as that is true.

    within: budget in seconds; every: seconds between two looks; what: the fact in words;
    ignoring: exceptions of `fact` that count as "not yet" (and are told as the last thing seen).
    Raises TimedOut with the last thing seen; Broken instead where `broken` says that the fact's
    absence is a broken promise and not merely a reason to say nothing.
    """
    deadline = Deadline(within)
    while True:
        last: object
        try:
            answer = fact()
        except ignoring as error:
            last = error
        else:
            if answer:
                return answer
            last = answer
        if deadline.passed:
            claim = what or getattr(fact, "__name__", "the fact")
            text = f"not within {within:g} s: {claim}; last seen: {last!r}"
            raise Broken(text) if broken else TimedOut(text)
        deadline.pause(every)


def wait_until_stable(
    fact: Callable[[], T], within: float, *, for_: float = 2.0, every: float = 0.2, what: str = ""
) -> T:
    """What `fact` returns once it has returned the same for `for_` seconds.

    Raises TimedOut with the last thing seen when it keeps changing.
    """
    deadline = Deadline(within)
    last = fact()
    since = time.monotonic()
    while time.monotonic() - since < for_:
        if deadline.passed:
            raise TimedOut(f"not stable within {within:g} s: {what}; last seen: {last!r}")
        deadline.pause(every)
        now = fact()
        if now != last:
            last, since = now, time.monotonic()
    return last
