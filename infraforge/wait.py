"""Waiting: the only sleep in the project, and every wait has a budget and says what it last saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from infraforge.errors import Broken, Hopeless, Late, TimedOut

T = TypeVar("T")

_LONGEST = 200
"""Characters shown of one state that was seen."""
_FIRST, _LAST = 3, 5
"""Of many changes, how many are told from the start and from the end."""


def seconds(number: float) -> float:
    """A budget in seconds."""
    return float(number)


def minutes(number: float) -> float:
    """A budget in minutes, as seconds."""
    return number * 60.0


class NotYet(Exception):
    """A fact that is not true yet may raise it to say how things stand: "primary: pg-0"."""


class Deadline:
    """A moment after which waiting ends (monotonic clock).

    within: seconds from now.
    """

    def __init__(self, within: float) -> None:
        self.within = within
        self.began = time.monotonic()
        self._end = self.began + within

    @property
    def left(self) -> float:
        """Seconds left; 0 when passed."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0

    @property
    def overdue(self) -> float:
        """Seconds since it passed; 0 while it has not."""
        return max(0.0, time.monotonic() - self._end)

    def pause(self, duration: float) -> None:
        """Sleep for `duration` seconds, but never past the deadline."""
        time.sleep(min(duration, self.left))


def wait_until(
    fact: Callable[[], T],
    within: float | Deadline,
    *,
    every: float = 0.2,
    what: str = "",
    ignoring: tuple[type[Exception], ...] = (),
    error: Callable[[object], object] | None = None,
    broken: bool = False,
) -> T:
    """Look at `fact` until it is true in time; return what it returned.

    within: budget in seconds, or a deadline that others share; every: seconds between two looks;
    what: the fact in words; ignoring: exceptions of `fact` that count as "not yet", as NotYet
    always does; error: is told what each look saw (an answer or such an exception) and says, by a
    true value or by why in words, that waiting is hopeless; broken: the fact was promised within
    this time.

    The last look begins before the deadline. An answer that comes after it is late, however long
    the look took, and is told as that. A budget of 0 is a single look at how things stand, which
    may take as long as it takes.

    Raises TimedOut, or Late (a Broken) where `broken`, with how late the fact was, the last thing
    seen and the changes on the way; Hopeless, or Broken, as soon as `error` says so.
    """
    deadline = within if isinstance(within, Deadline) else Deadline(within)
    claim = what or str(getattr(fact, "__name__", "the fact"))
    at_once = within == 0
    seen = _Seen()
    while at_once or not deadline.passed:
        began = time.monotonic()
        answer, found = _look(fact, ignoring)
        seen.note(found)
        if why := error and error(found):
            _give_up(claim, why, seen, broken=broken)
        if answer and (at_once or not (overdue := deadline.overdue)):
            return answer[0]
        if answer:
            took = time.monotonic() - began
            late = f"it was true {_time(overdue)} late (by a look that took {_time(took)})"
            raise _too_late(deadline, f"{claim}; {late}{seen.way()}", broken=broken)
        if at_once:
            break
        deadline.pause(every)
    raise _too_late(deadline, f"{claim}; {seen.last()}{seen.way()}", broken=broken)


def wait_until_stable(
    fact: Callable[[], T],
    within: float,
    *,
    for_: float = 2.0,
    every: float = 0.2,
    what: str = "",
    error: Callable[[object], object] | None = None,
    broken: bool = False,
) -> T:
    """Return what `fact` returns once it has returned the same for `for_` seconds, in time.

    Counted from the end of the first look that saw it to the begin of the last one. `error` and
    `broken` are those of `wait_until`.

    Raises TimedOut, or Late where `broken`, with the last thing seen and the changes on the way,
    when it keeps changing or rests too late.
    """
    deadline = Deadline(within)
    claim = what or str(getattr(fact, "__name__", "the fact"))
    seen = _Seen()
    last, since = fact(), time.monotonic()
    began = since
    while True:
        seen.note(last)
        if why := error and error(last):
            _give_up(claim, why, seen, broken=broken)
        rested = began - since >= for_
        if rested and not (overdue := deadline.overdue):
            return last
        if rested:
            late = f"it was stable {_time(overdue)} late"
            raise _too_late(deadline, f"{claim}; {late}{seen.way()}", broken=broken, kind="stable ")
        if deadline.passed:
            break
        deadline.pause(every)
        began = time.monotonic()
        now = fact()
        if now != last:
            last, since = now, time.monotonic()
    raise _too_late(deadline, f"{claim}; {seen.last()}{seen.way()}", broken=broken, kind="stable ")


def _look(
    fact: Callable[[], T], ignoring: tuple[type[Exception], ...]
) -> tuple[tuple[T, ...], object]:
    """The answer, in a tuple that is empty unless it is true; and what was seen."""
    not_yet: tuple[type[Exception], ...] = (NotYet, *ignoring)
    try:
        answer = fact()
    except not_yet as error:
        return (), error
    return (answer,) if answer else (), answer


def _too_late(deadline: Deadline, text: str, *, broken: bool, kind: str = "") -> Exception:
    said = f"not {kind}within {deadline.within:g} s: {text}"
    waited = deadline.began, time.monotonic()
    return Late(said, waited) if broken else TimedOut(said, waited)


def _give_up(claim: str, why: object, seen: _Seen, *, broken: bool) -> NoReturn:
    reason = why if isinstance(why, str) else "that is a state it does not come out of"
    text = f"hopeless: {claim}; {seen.last()}: {reason}{seen.way()}"
    raise Broken(text) if broken else Hopeless(text)


class _Seen:
    """What the looks saw, one entry for each change; times in seconds since the first look began.

    Texts are made at once: what was seen may change afterwards.
    """

    def __init__(self) -> None:
        self._began = self._latest = time.monotonic()
        self._states: list[tuple[str, float]] = []
        self._dropped = 0

    def note(self, state: object) -> None:
        self._latest = time.monotonic()
        text = _shown(state)
        if self._states and self._states[-1][0] == text:
            return
        at = self._latest - self._began if self._states else 0.0
        self._states.append((text, at))
        if len(self._states) > _FIRST + _LAST:
            del self._states[_FIRST]
            self._dropped += 1

    def last(self) -> str:
        return f"last seen: {self._states[-1][0]}" if self._states else "there was no time to look"

    def way(self) -> str:
        """The changes in words, where there were any."""
        if len(self._states) < 2:
            return ""
        ends = [at for _, at in self._states[1:]] + [self._latest - self._began]
        told = [
            f"{text} ({at:.1f}–{end:.1f} s)"  # noqa: RUF001  from, to
            for (text, at), end in zip(self._states, ends, strict=True)
        ]
        if self._dropped:
            text, at = self._states[_FIRST - 1]
            told[_FIRST - 1] = f"{text} (from {at:.1f} s)"
            told.insert(_FIRST, f"… {self._dropped} more …")
        return f"; on the way: {' → '.join(told)}"


def _shown(state: object) -> str:
    """As repr, but no longer than can be read; never raises."""
    try:
        text = str(state) if isinstance(state, NotYet) else repr(state)
    except Exception as error:  # noqa: BLE001 - a wait must not end for want of words
        text = f"<{type(state).__name__}, which cannot be shown: {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _time(duration: float) -> str:
    """Seconds in words; what is short is not rounded to nothing."""
    return f"{duration:.1f} s" if duration >= 1 else f"{duration * 1000:.3g} ms"
