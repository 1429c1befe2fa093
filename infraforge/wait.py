"""Waiting: the project's only sleep. Every wait has a budget, and reports what it last saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from infraforge.errors import Broken, Hopeless, Late, TimedOut

T = TypeVar("T")

_LONGEST = 200
"""Characters shown of one observed state."""
_FIRST, _LAST = 3, 5
"""Of many changes, how many are shown from the start and from the end."""


def seconds(number: float) -> float:
    """A budget in seconds."""
    return float(number)


def minutes(number: float) -> float:
    """A budget in minutes, as seconds."""
    return number * 60.0


class NotYet(Exception):
    """Raised by a fact that is not true yet, to describe the present state: "primary: pg-0"."""


class Deadline:
    """The end of a wait, on the monotonic clock.

    within: seconds from now.
    """

    def __init__(self, within: float) -> None:
        self.within = within
        self.began = time.monotonic()
        self._end = self.began + within

    @property
    def left(self) -> float:
        """Seconds left; 0 once it has passed."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0

    @property
    def overdue(self) -> float:
        """Seconds since it passed; 0 before that."""
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
    """Call `fact` until it returns something true in time; return that.

    within: budget in seconds, or a shared deadline; every: seconds between two calls; what: the
    fact in words; ignoring: exceptions of `fact` that mean "not yet", as NotYet always does;
    error: gets what each call saw (its result or such an exception), and says that waiting is
    hopeless by returning True or the reason in words; broken: the fact was promised within this
    time.

    The last call begins before the deadline. A result after the deadline is late, however long the
    call took, and is reported so. A budget of 0 means a single call, which may take any time.

    Raises TimedOut, or Late (a Broken) with `broken`, saying how late the fact was, the last thing
    seen and the changes before it; Hopeless, or Broken, as soon as `error` says so.
    """
    deadline = within if isinstance(within, Deadline) else Deadline(within)
    claim = what or str(getattr(fact, "__name__", "the fact"))
    at_once = within == 0
    seen = _Seen()
    while at_once or not deadline.passed:
        began = time.monotonic()
        answer, saw = _look(fact, ignoring)
        seen.note(saw)
        if why := error and error(saw):
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
    """Return the result of `fact` once it has stayed the same for `for_` seconds, in time.

    Measured from the end of the first call that returned it to the start of the last one. `error`
    and `broken` are as in `wait_until`.

    Raises TimedOut, or Late with `broken`, with the last thing seen and the changes before it, when
    it keeps changing or settles too late.
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
    """The result in a tuple, which is empty unless it is true; and what was seen."""
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
    reason = why if isinstance(why, str) else "it does not recover from that state"
    text = f"hopeless: {claim}; {seen.last()}: {reason}{seen.way()}"
    raise Broken(text) if broken else Hopeless(text)


class _Seen:
    """What the calls saw, one entry for each change; times in seconds since the first call.

    States become text at once, because the objects may change afterwards.
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
        """The changes in words, if there were any."""
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
    """Like repr, but of readable length; never raises."""
    try:
        text = str(state) if isinstance(state, NotYet) else repr(state)
    except Exception as error:  # noqa: BLE001 - a repr that fails must not end the wait
        text = f"<{type(state).__name__}, which cannot be shown: {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _time(duration: float) -> str:
    """Seconds in words; a short time is not rounded to zero."""
    return f"{duration:.1f} s" if duration >= 1 else f"{duration * 1000:.3g} ms"
