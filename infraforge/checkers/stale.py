"""No stale read: what was acknowledged is what a later read finds, or something newer.

The history is that of registers, one a key, whose store numbers its versions:

    write   invoked with its content, ok with [version, content]
    delete  ok without a value; the key is absent from then on
    read    ok with [version, content], or null for absent

A version is a place in the key's one order of writes, so "older" needs no search for a
linearization (Herlihy & Wing 1990; Elle, Kingsbury & Alvaro 2020, uses versions alike). Absent is
older than every version until a delete may have taken effect, and newer than all from then on: a
key is not used again after its deletion.

    stale       a read that began after a write or delete was acknowledged finds something older;
                one that overlaps it may find either
    future      a read finds a version whose write was invoked only after the read was over
    unwritten   a read finds what no acknowledged or unanswered write can have put there, nor was
                there before the first (so a failed write's content, Adya's G1a)
    ambiguous   one version with two contents, or an acknowledged version no newer than one
                acknowledged before its write began (a lost update)

All four are broken. A write without an answer may take effect at any time after it was invoked, or
never: it makes no read stale, and explains what it may have put there. For this, the history has
to hold every write of its keys, each with a content of its own.

This is recency against acknowledgements, not linearizability: that an unacknowledged write, once
seen, is seen by everybody is not demanded (`monotonic` demands it of each client).
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from functools import cached_property

from infraforge.history import Call, History, Kind, Value
from infraforge.verdict import Verdict, broken, holds, merge, unknown

NAME = "no_stale_read"
_DELETED = math.inf


def no_stale_read(history: History) -> Verdict:
    """No read is stale, from the future, unwritten or ambiguous.

    Unknown where no read began after an acknowledged write or delete of its key: nothing is proven.
    """
    calls: dict[str | None, list[Call]] = {}
    for call in history.of("read", "write", "delete"):
        calls.setdefault(call.key, []).append(call)
    for call in history.of("add"):  # a set, which `acknowledged` judges
        calls.pop(call.key, None)
    registers = [Register.of(found) for found in calls.values()]
    found = [verdict for register in registers for verdict in register.judged()]
    if found:
        return merge(*found, name=NAME)
    judging = sum(register.judging for register in registers)
    if not judging:
        return unknown(NAME, "no read began after an acknowledged write of its key")
    told = f"{judging} reads that followed an acknowledged write of {len(calls)} keys are not stale"
    return holds(NAME, told)


@dataclass(frozen=True)
class Register:
    """The calls on one key. failed: writes that surely did not happen."""

    reads: tuple[Call, ...]
    writes: tuple[Call, ...]
    deletes: tuple[Call, ...]
    failed: tuple[Call, ...]

    @classmethod
    def of(cls, calls: list[Call]) -> Register:
        possible = [call for call in calls if call.outcome is not Kind.FAIL]
        return cls(
            tuple(call for call in possible if call.function == "read" and call.ok),
            tuple(call for call in possible if call.function == "write"),
            tuple(call for call in possible if call.function == "delete"),
            tuple(call for call in calls if call.outcome is Kind.FAIL),
        )

    @cached_property
    def acknowledged(self) -> tuple[Call, ...]:
        """Writes and deletes that were, in the order in which they were acknowledged."""
        found = [call for call in (*self.writes, *self.deletes) if call.ok]
        return tuple(sorted(found, key=_end))

    @cached_property
    def newest(self) -> _Newest:
        return _Newest(self.acknowledged)

    @property
    def judging(self) -> int:
        """How many reads prove something: they began after a write was acknowledged."""
        if not self.acknowledged:
            return 0
        first = _end(self.acknowledged[0])
        return sum(first < read.start for read in self.reads)

    def judged(self) -> list[Verdict]:
        """What is broken, or why nothing can be said; none where nothing is wrong."""
        for look in (self._reused, self._ambiguous, self._unexplained, self._stale):
            verdict = look()
            if verdict is not None:
                return [verdict]
        return []

    def _reused(self) -> Verdict | None:
        delete = min(self.deletes, key=_end, default=None)
        for write in self.writes:
            if delete and write.ok and delete.precedes(write):
                told = f"{write.key} was written after its deletion: its versions have no order"
                return unknown(NAME, told, *delete.operations, *write.operations)
        return None

    def _ambiguous(self) -> Verdict | None:
        known: dict[int, Call] = {}
        for call in (*self.writes, *self.reads):
            if not call.ok or call.value is None:
                continue
            version, content = _versioned(call)
            first = known.setdefault(version, call)
            if first is call:
                continue
            if call.function == "write" or _versioned(first)[1] != content:
                told = f"version {version} of {call.key} stands for two writes"
                return broken(NAME, told, *first.operations, *call.operations)
        for write in self.writes:
            before = self.newest.before(write) if write.ok else None
            if before and before[0] >= _rank(write):
                told = f"{_shown(write)} of {write.key} was given after {_shown(before[1])}"
                return broken(NAME, told, *before[1].operations, *write.operations)
        return None

    def _unexplained(self) -> Verdict | None:
        """A read from the future, or of what nobody wrote."""
        written = {_versioned(call)[0]: call for call in self.writes if call.ok}
        unanswered: dict[Value, int] = {}  # content → where the first such write was invoked
        for call in self.writes:
            if not call.ok:
                unanswered.setdefault(call.value, call.start)
        failed: dict[Value, list[Call]] = {}
        for call in self.failed:
            failed.setdefault(call.value, []).append(call)
        oldest = min(written, default=math.inf)
        initial: int | None = None
        for read in self.reads:
            if read.value is None:
                continue
            version, content = _versioned(read)
            write = written.get(version)
            if write and read.precedes(write):
                told = f"version {version} of {read.key} was read before it was written"
                return broken(NAME, told, *read.operations, *write.operations)
            if write or unanswered.get(content, math.inf) < _end(read):
                continue
            refused = failed.get(content, [])
            if refused or version > oldest or version != (version if initial is None else initial):
                told = f"nobody wrote version {version} of {read.key}, which was read"
                evidence = [operation for call in refused for operation in call.operations]
                return broken(NAME, told, *evidence, *read.operations)
            initial = version
        return None

    def _stale(self) -> Verdict | None:
        deleting = min((delete.start for delete in self.deletes), default=math.inf)
        for read in self.reads:
            before = self.newest.before(read)
            absent = _DELETED if deleting < _end(read) else 0.0
            found = absent if read.value is None else _rank(read)
            if before and found < before[0]:
                was = f"{_shown(before[1])} was acknowledged"
                told = f"{_shown(read)} of {read.key} was read after {was}"
                return broken(NAME, told, *before[1].operations, *read.operations)
        return None


class _Newest:
    """The newest acknowledged write or delete of those that were over before a call began."""

    def __init__(self, acknowledged: tuple[Call, ...]) -> None:
        self._ends = [_end(call) for call in acknowledged]
        ranked = ((_rank(call), call) for call in acknowledged)
        self._newest = list(itertools.accumulate(ranked, _newer))

    def before(self, call: Call) -> tuple[float, Call] | None:
        """With its rank."""
        count = bisect.bisect_left(self._ends, call.start)
        return self._newest[count - 1] if count else None


def _newer(one: tuple[float, Call], other: tuple[float, Call]) -> tuple[float, Call]:
    return other if other[0] > one[0] else one


def _end(call: Call) -> float:
    return math.inf if call.end is None else call.end


def _rank(call: Call) -> float:
    return _DELETED if call.function == "delete" else _versioned(call)[0]


def _versioned(call: Call) -> tuple[int, Value]:
    value = call.value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int):
        return value[0], value[1]
    raise TypeError(f"a {call.function} brings [version, content], not {value!r}")


def _shown(call: Call) -> str:
    if call.function == "delete":
        return "its deletion"
    return "absence" if call.value is None else f"version {_versioned(call)[0]}"
