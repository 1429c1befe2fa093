"""Availability: for how long nobody was acknowledged, with the error of that figure. Pure.

The recovery time after a fault is, as clients saw it, the time from the last acknowledged write
before the gap to the first one after it (completions, monotonic clock). Its error is the probe's
own resolution: the longer of

- the steady rhythm, the longest time between two acknowledgements before the first fault;
- the longest stretch of the gap in which no write was under way, so nobody asked.

The outage itself is no longer than the gap, and shorter by at most that error.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from infraforge.history import Call, History, Operation
from infraforge.verdict import Verdict, broken, holds, merge, unknown

STARVED = "starved"
"""What a watcher says of the machine, by `[since, until, *words]`: ns of the history's clock, and
the bounds that were passed between, none of them where it was well."""

ENOUGH = 20
"""Acknowledgements before the first fault from which a rhythm is told."""


@dataclass(frozen=True)
class Outage:
    """The longest gap in acknowledgements under a fault.

    fault: the nemesis' call; last, first: the acknowledgements around the gap, first None where
    none came any more; until: ns, where the gap ends, without `first` the last sign of a writer;
    rhythm, idle: ns (see the module); starved: bounds that the machine passed during it.
    """

    fault: Call
    last: Operation
    first: Operation | None
    until: int
    rhythm: int
    idle: int
    starved: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return (self.until - self.last.time) / 1e9

    @property
    def error(self) -> float:
        """Seconds by which the outage may have been shorter than the gap."""
        return max(self.rhythm, self.idle) / 1e9

    @property
    def noticed(self) -> bool:
        """Whether the gap is longer than the probe's error: else nothing was seen of an outage."""
        return self.seconds > self.error


def outages(history: History, *functions: str) -> tuple[Outage, ...]:
    """One for each fault: the longest gap that ends after the fault was begun and begins before the
    next one was. functions: of what is a write (default: add and write).

    None at all where fewer than `ENOUGH` writes were acknowledged before the first fault.
    """
    writes = history.of(*(functions or ("add", "write")))
    acknowledged = [call.completion for call in writes if call.ok and call.completion]
    acknowledged.sort(key=_time)
    times = [operation.time for operation in acknowledged]
    faults = history.faults
    if not faults or bisect.bisect_left(times, faults[0].invoke.time) < ENOUGH:
        return ()
    steady = times[: bisect.bisect_left(times, faults[0].invoke.time)]
    rhythm = max(later - earlier for earlier, later in itertools.pairwise(steady))
    asked = _merged(_stretch(call) for call in writes)
    over = max([times[-1], *(end for _, end in asked[-1:])])
    ends = [*(fault.invoke.time for fault in faults[1:]), over + 1]
    found = []
    for fault, end in zip(faults, ends, strict=True):
        # from the last acknowledgement before the fault to the last one before the next fault
        first = bisect.bisect_left(times, fault.invoke.time) - 1
        last = bisect.bisect_left(times, end) - 1
        at = max(range(first, last + 1), key=lambda i: (_next(times, i, over) - times[i], -i))
        following = acknowledged[at + 1] if at + 1 < len(times) else None
        until = _next(times, at, over)
        idle = _idle(asked, times[at], until)
        words = starved(history, times[at], until)
        found.append(Outage(fault, acknowledged[at], following, until, rhythm, idle, words))
    return tuple(found)


def starved(history: History, since: int, until: int) -> tuple[str, ...]:
    """The bounds that the machine passed at any time between, as a watcher noted them.

    Raises TypeError for a note that is not as `STARVED` says.
    """
    words: dict[str, None] = {}
    for call in history.watched:
        if call.function != STARVED or not call.ok:
            continue
        if not isinstance(call.value, tuple) or len(call.value) < 2:
            raise TypeError(f"a note of the machine is [since, until, *words], not {call.value!r}")
        begin, end, *told = call.value
        if not isinstance(begin, int) or not isinstance(end, int):
            raise TypeError(f"a note of the machine begins with two times, not {call.value!r}")
        if begin < until and since < end:
            words |= dict.fromkeys(str(word) for word in told)
    return tuple(words)


@dataclass(frozen=True)
class RecoversWithin:
    """After each fault writes are acknowledged again within so many seconds.

    The gap is judged with its error: it holds where the whole gap is within the budget, is broken
    where the gap less its error is not, and else unknown, as the probe was too coarse. Late on a
    starved machine is unknown; in time on one is in time. Unknown too where too little was written
    before the first fault, and where the history ends before the budget does.

    seconds: the budget; functions: what is a write, with spaces between.
    """

    seconds: float
    functions: str = "add write"

    @property
    def name(self) -> str:
        return f"recovers_within({self.seconds:g} s)"

    def __call__(self, history: History) -> Verdict:
        if not history.faults:
            return unknown(self.name, "no fault was injected")
        found = outages(history, *self.functions.split())
        if not found:
            told = f"fewer than {ENOUGH} writes were acknowledged before the first fault"
            return unknown(self.name, told)
        return merge(*(self._judged(outage) for outage in found), name=self.name)

    def _judged(self, outage: Outage) -> Verdict:
        shown = [outage.last, *outage.fault.operations]
        shown += [outage.first] if outage.first else []
        gap = f"{outage.seconds:.3f} s without an acknowledged write under {outage.fault.function}"
        least = outage.seconds - outage.error
        if outage.first is not None and outage.seconds <= self.seconds:
            return holds(self.name, f"{gap} (error {outage.error:.3f} s)")
        if least <= self.seconds:
            why = "the history ends" if outage.first is None else f"the error is {outage.error:.3f}"
            return unknown(self.name, f"{gap}; {why}: within {self.seconds:g} s or not", *shown)
        if outage.starved:
            told = f"{gap}, on a starved machine: {', '.join(outage.starved)}"
            return unknown(self.name, told, *shown)
        return broken(self.name, f"{gap}, at least {least:.3f}, not {self.seconds:g}", *shown)


def _next(times: list[int], at: int, over: int) -> int:
    return times[at + 1] if at + 1 < len(times) else over


def _time(operation: Operation) -> int:
    return operation.time


def _stretch(call: Call) -> tuple[int, int]:
    end = call.completion.time if call.completion else call.invoke.time
    return call.invoke.time, end


def _merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time as a union of such that do not touch, in order."""
    union: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if union and begin <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], end)
        else:
            union.append((begin, end))
    return union


def _idle(union: list[tuple[int, int]], since: int, until: int) -> int:
    """The longest part of the time between that no stretch of the union covers."""
    first = max(0, bisect.bisect_right(union, (since, since)) - 1)
    at, longest = since, 0
    for begin, end in union[first:]:
        if begin >= until:
            break
        longest = max(longest, begin - at)
        at = max(at, end)
    return max(longest, until - at)
