"""A recovery time split into its terms, each from an event in the same history. Pure.

    detection   fault struck            → somebody knew (the lock was given up or had run out)
    election    somebody knew           → another member holds the lock
    promotion   another holds the lock  → it answers as primary
    routing     it answers as primary   → a new connection for writing reaches it
    reconnect   a connection reaches it → a client's write is acknowledged again

Watchers tell (processes whose names begin with `history.WATCH`): either an event, a call of a
function named as in `EVENTS`, its invocation and completion being the times between which it
happened; or answers to a question put again and again, of which the first new one counts:

    lock    who holds it: a member, or null
    role    key: the member; `["primary" | "standby", timeline]`
    route   the member that a new connection for writing reaches

The fault struck when it was begun, or at the last acknowledgement where that came later. What is
seen after its effect (a poll is late) is set to when its effect was seen. A term is known where
both of its events are; time that no term covers, as that before the fault struck, is unexplained.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from infraforge.checkers.origin import PRIMARY
from infraforge.checkers.outages import Outage, outages
from infraforge.history import Call, History, Value
from infraforge.verdict import Verdict, holds, merge, unknown

NAME = "recovery_is_explained"
SHARE = 0.9
"""Of a recovery time that its terms must explain."""

EVENTS = ("detected", "elected", "promoted", "routed")
TERMS = ("detection", "election", "promotion", "routing", "reconnect")


@dataclass(frozen=True)
class Mark:
    """An event. at: ns, when it had happened; error: ns, how long before it may have."""

    name: str
    at: int
    error: int


@dataclass(frozen=True)
class Term:
    """A part of a recovery time, in seconds. error: by what the ends are known."""

    name: str
    seconds: float
    error: float


@dataclass(frozen=True)
class Recovery:
    """An outage with the events within it, in order, and the terms between these."""

    outage: Outage
    marks: tuple[Mark, ...]
    terms: tuple[Term, ...]

    @property
    def explained(self) -> float:
        """The share of the recovery time that the terms make up, 0 to 1."""
        total = self.outage.seconds
        return sum(term.seconds for term in self.terms) / total if total else 0.0


def recoveries(history: History, *functions: str) -> tuple[Recovery, ...]:
    """Each outage that ended, with its terms. functions: as `outages.outages` takes them."""
    seen = _Seen(history)
    return tuple(
        _split(outage, seen)
        for outage in outages(history, *functions)
        if outage.first is not None and outage.noticed
    )


def recovery_is_explained(history: History) -> Verdict:
    """The terms of each recovery make up nine tenths of it: never broken, else unknown.

    Unknown too where no write was missed under a fault, and on a starved machine, whose times are
    its own.
    """
    found = recoveries(history)
    if not found:
        return unknown(NAME, "no gap in acknowledged writes that a fault explains has ended")
    return merge(*(_judged(recovery) for recovery in found), name=NAME)


def _judged(recovery: Recovery) -> Verdict:
    outage = recovery.outage
    terms = ", ".join(f"{term.name} {term.seconds:.3f}" for term in recovery.terms) or "no term"
    told = f"of {outage.seconds:.3f} s {recovery.explained:.0%} is explained: {terms}"
    if outage.starved:
        return unknown(NAME, f"{told}; the machine was starved: {', '.join(outage.starved)}")
    if recovery.explained < SHARE:
        known = {mark.name for mark in recovery.marks}
        missing = ", ".join(name for name in EVENTS if name not in known)
        return unknown(NAME, f"{told}; not seen: {missing or 'nothing'}", *outage.fault.operations)
    return holds(NAME, told)


def _split(outage: Outage, seen: _Seen) -> Recovery:
    struck = max(outage.fault.invoke.time, outage.last.time)
    struck = min(struck, outage.until)
    marks = [Mark("struck", struck, 0)]
    for name in EVENTS:
        mark = seen.event(name, struck, outage.until)
        if mark is not None:
            marks.append(mark)
    marks.append(Mark("acknowledged", outage.until, 0))
    for at in range(len(marks) - 2, 0, -1):  # an effect shows that its cause was there
        mark, effect = marks[at], marks[at + 1]
        late = max(0, mark.at - effect.at)
        error = max(0, mark.error - late)
        marks[at] = Mark(mark.name, max(struck, mark.at - late), error)
    order = ("struck", *EVENTS, "acknowledged")
    terms = [
        Term(TERMS[order.index(one.name)], (two.at - one.at) / 1e9, (one.error + two.error) / 1e9)
        for one, two in itertools.pairwise(marks)
        if order.index(two.name) == order.index(one.name) + 1
    ]
    return Recovery(outage, tuple(marks), tuple(terms))


class _Seen:
    """What watchers saw, by function, in the order of completion."""

    def __init__(self, history: History) -> None:
        self._calls: dict[str, list[Call]] = {}
        for call in history.watched:
            if call.ok:
                self._calls.setdefault(call.function, []).append(call)
        for calls in self._calls.values():
            calls.sort(key=_done)

    def event(self, name: str, struck: int, until: int) -> Mark | None:
        """The first such event after the fault struck; told, or else found in answers.

        One that was seen only after writes were acknowledged again had happened by then.
        """
        for call in self._after(name, struck):
            if call.invoke.time > until:
                break
            return Mark(name, _done(call), _done(call) - call.invoke.time)
        match name:
            case "detected":
                return self._first(name, "lock", struck, until, lambda new, _: new is None)
            case "elected":
                return self._first(
                    name, "lock", struck, until, lambda new, old: new is not None and new != old
                )
            case "routed":
                return self._first(name, "route", struck, until, lambda new, old: new != old)
        return self._promoted(struck, until)

    def _first(
        self,
        name: str,
        function: str,
        struck: int,
        until: int,
        fits: Callable[[Value, Value], bool],
    ) -> Mark | None:
        """The first answer after the fault that fits beside the last one before it.

        Several may ask at a time: what none of them was told yet happened after each had asked.
        """
        calls = self._calls.get(function, [])
        at = bisect.bisect_right(calls, struck, key=_done)
        if not at:
            return None  # how it was before nobody knows
        former = calls[at - 1]
        since = former.invoke.time
        for call in calls[at:]:
            if since > until:
                break
            if fits(call.value, former.value):
                return Mark(name, _done(call), _done(call) - since)
            since = max(since, call.invoke.time)
        return None

    def _promoted(self, struck: int, until: int) -> Mark | None:
        """The first member that says it is primary, of a timeline later than any before."""
        roles = self._calls.get("role", [])
        at = bisect.bisect_right(roles, struck, key=_done)
        reigns = [timeline for role, timeline in map(_role, roles[:at]) if role == PRIMARY]
        if not reigns:
            return None
        before: dict[str | None, Call] = {call.key: call for call in roles[:at]}
        for call in roles[at:]:
            earlier = before.get(call.key)
            role, timeline = _role(call)
            if role == PRIMARY and timeline > max(reigns):
                since = call if earlier is None else earlier
                if since.invoke.time > until:
                    return None
                return Mark("promoted", _done(call), _done(call) - since.invoke.time)
            before[call.key] = call
        return None

    def _after(self, function: str, struck: int) -> list[Call]:
        calls = self._calls.get(function, [])
        return calls[bisect.bisect_right(calls, struck, key=_done) :]


def _role(call: Call) -> tuple[str, int]:
    value = call.value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
        return str(value[0]), value[1]
    raise TypeError(f"a role is [role, timeline], not {value!r}")


def _done(call: Call) -> int:
    return call.completion.time if call.completion else call.invoke.time
