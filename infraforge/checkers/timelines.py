"""Never two primaries, as clients saw it: what answers as primary forms one line of reigns.

Each answer of a primary, to a read as to a write, carries its origin (`origin.Origin`). Then

    two systems   answers of two database systems: a member began anew     broken
    two members   one timeline, and two members answered as its primary    broken
    moved back    one member answered at another address and at the first
                  again, on one timeline: two servers bear its name        broken
    ran back      an answer that began after another was over is of an
                  older timeline: the former primary still answers         broken

A promotion always begins a timeline, so two servers on one were never in one line: both were
promoted, or one is a copy. A primary that starts again goes on with its timeline, perhaps at a new
address. A standby may lag behind; its answers bind nobody, and must be of the same system only.

Calls that overlap may be seen in either order (Herlihy & Wing's real-time order). This says nothing
of a primary that no client reached.
"""

from __future__ import annotations

from collections import Counter

from infraforge.checkers.origin import PRIMARY, Origin
from infraforge.history import Call, History, Value
from infraforge.verdict import Verdict, broken, holds, unknown

NAME = "one_primary_at_a_time"

_Answer = tuple[Call, Origin]


def one_primary_at_a_time(history: History) -> Verdict:
    """Answers of primaries form one line of timelines, each of one member.

    Unknown unless a primary answered two calls, and where an answer does not say who gave it: it
    might be the other primary's. Functions none of whose answers say so are another workload's.
    """
    answers: list[_Answer] = []
    primaries: list[_Answer] = []
    silent: Counter[str] = Counter()
    known: dict[Value, Origin | None] = {}  # there are few origins and many answers
    for call in history.clients:
        if call.ok:
            by = call.by
            if by not in known:
                known[by] = Origin.of(by)
            origin = known[by]
            if origin is None:
                silent[call.function] += 1
                continue
            answer = call, origin
            answers.append(answer)
            if origin.role == PRIMARY:
                primaries.append(answer)
    over = sorted(primaries, key=_ended)
    for wrong in (_two_systems(answers), _two_members(primaries, over), _ran_back(primaries, over)):
        if wrong is not None:
            return wrong
    telling = {call.function for call, _ in answers}
    if untold := {name: number for name, number in silent.items() if name in telling}:
        return unknown(NAME, f"answers that do not say whose they are: {untold}")
    if len(primaries) < 2:
        return unknown(NAME, f"{len(primaries)} answers of a primary: there is nothing to compare")
    reigns = dict.fromkeys((origin.timeline, origin.member) for _, origin in primaries)
    told = ", ".join(f"{member} on timeline {timeline}" for timeline, member in sorted(reigns))
    return holds(NAME, f"{len(primaries)} answers of primaries are of one line: {told}")


def _two_systems(answers: list[_Answer]) -> Verdict | None:
    for call, origin in answers:
        first, other = answers[0]
        if origin.system != other.system:
            told = f"{other.member} is of system {other.system}, {origin.member} of {origin.system}"
            return broken(NAME, told, *first.operations, *call.operations)
    return None


def _two_members(primaries: list[_Answer], over: list[_Answer]) -> Verdict | None:
    """One timeline, one member; its address may change, but not back.

    over: the same answers in the order in which they ended.
    """
    reigns: dict[int, _Answer] = {}
    for call, origin in primaries:
        first, other = reigns.setdefault(origin.timeline, (call, origin))
        if other.member != origin.member:
            both = f"{other.member} and {origin.member}"
            told = f"{both} both answered as primary of timeline {origin.timeline}"
            return broken(NAME, told, *first.operations, *call.operations)
    latest: dict[int, _Answer] = {}
    left: dict[tuple[int, str], Call] = {}  # (timeline, address) → the answer that showed it left
    for call, origin in over:
        before, other = latest.get(origin.timeline, (call, origin))
        gone = left.get((origin.timeline, origin.address))
        if gone is not None and gone.precedes(call):
            told = f"{origin.member} answered at {origin.address} again, after it had moved"
            return broken(NAME, told, *gone.operations, *call.operations)
        if other.address != origin.address and before.precedes(call):
            left.setdefault((origin.timeline, other.address), call)
        latest[origin.timeline] = (call, origin)
    return None


def _ran_back(primaries: list[_Answer], over: list[_Answer]) -> Verdict | None:
    """A sweep in the order of invocation, beside one in the order of completion."""
    ending = iter(over)
    upcoming = next(ending, None)
    newest: _Answer | None = None
    for call, origin in primaries:
        while upcoming is not None and upcoming[0].precedes(call):
            if newest is None or upcoming[1].timeline > newest[1].timeline:
                newest = upcoming
            upcoming = next(ending, None)
        if newest is not None and origin.timeline < newest[1].timeline:
            told = (
                f"{origin.member} answered as primary of timeline {origin.timeline} "
                f"after {newest[1].member} had on timeline {newest[1].timeline}"
            )
            return broken(NAME, told, *newest[0].operations, *call.operations)
    return None


def _ended(answer: _Answer) -> int:
    call = answer[0]
    return call.start if call.end is None else call.end
