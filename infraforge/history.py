"""Histories: what clients did and saw, and what faults did to them, in one order.

The model is Herlihy & Wing's ("Linearizability", 1990) as Jepsen records it: an operation is
invoked and later completes as *ok* (it happened), *fail* (it surely did not) or *info* (nobody can
tell, then or later: it may take effect at any time after it was invoked). A process does one
operation after the other, so a completion belongs to its process's open invocation; an invocation
that never completes counts as info. Faults are operations of the process `nemesis`.

Values are frozen and do no I/O; a history is judged by its order, never by its clock.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

NEMESIS = "nemesis"
HEAL = "heal"
"""The nemesis' function that undoes faults; its every other function is a fault."""
WATCH = "watch:"
"""How the process of a watcher is named, who asks how the platform stands and is no client."""

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"


class Kind(enum.StrEnum):
    """What an operation's line in the history says of it."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True)
class Operation:
    """One line of a history.

    function: what is done ("read", "write", "add"; a fault's name); key: to what, if there is more
    than one; value: JSON without objects, lists become tuples; time: monotonic clock, ns;
    error: why it failed or is unknown; by: who answered, where that is known (`checkers.origin`).
    """

    process: str
    kind: Kind
    function: str
    key: str | None
    value: Value
    time: int
    error: str = ""
    by: Value = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))
        object.__setattr__(self, "value", _frozen(self.value))
        object.__setattr__(self, "by", _frozen(self.by))

    def __str__(self) -> str:
        """Seconds, process, kind, function, key, value, error: a line for people."""
        shown = [f"{self.time / 1e9:.6f}", f"{self.process:<10}", f"{self.kind:<6}", self.function]
        if self.key is not None:
            shown.append(self.key)
        if self.value is not None or (self.kind is Kind.OK and self.function == "read"):
            shown.append(_json(self.value))
        if self.by is not None:
            shown.append(f"by {_json(self.by)}")
        if self.error:
            shown.append(f"({self.error})")
        return "  ".join(shown)


@dataclass(frozen=True, slots=True)
class Call:
    """An invocation with its completion.

    start, end: positions in the history; end is None while the call may still take effect, that is
    when it never completed or completed as info. What follows is said once, since checkers ask for
    it more often than for anything else:

    value: what an ok call brought back; what any other was asked to do; by: who answered, None
    where nobody did, or it was not asked.
    """

    invoke: Operation
    completion: Operation | None
    start: int
    end: int | None
    process: str = field(init=False, repr=False, compare=False)
    function: str = field(init=False, repr=False, compare=False)
    key: str | None = field(init=False, repr=False, compare=False)
    value: Value = field(init=False, repr=False, compare=False)
    outcome: Kind = field(init=False, repr=False, compare=False)
    ok: bool = field(init=False, repr=False, compare=False)
    by: Value = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        invoke, completion, tell = self.invoke, self.completion, object.__setattr__
        outcome = completion.kind if completion else Kind.INFO
        ok = outcome is Kind.OK
        tell(self, "process", invoke.process)
        tell(self, "function", invoke.function)
        tell(self, "key", invoke.key)
        tell(self, "value", completion.value if completion and ok else invoke.value)
        tell(self, "outcome", outcome)
        tell(self, "ok", ok)
        tell(self, "by", completion.by if completion else None)

    @property
    def operations(self) -> tuple[Operation, ...]:
        return (self.invoke, self.completion) if self.completion else (self.invoke,)

    def precedes(self, other: Call) -> bool:
        """Whether this call surely was over before the other began; else they overlap or follow."""
        return self.end is not None and self.end < other.start


@dataclass(frozen=True)
class History:
    """Operations in the order in which they were seen.

    Raises ValueError where they are not well formed: a clock that runs back, a completion that
    nothing invoked, or one of another function or key than its process's open invocation.
    """

    operations: tuple[Operation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        _ = self.calls

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __add__(self, other: History) -> History:
        """Both as one, in the order of the clock (one machine's monotonic clock is one order)."""
        merged = sorted(self.operations + other.operations, key=lambda operation: operation.time)
        return History(tuple(merged))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Every invocation with its completion, in the order of invocation."""
        return tuple(_paired(self.operations))

    @cached_property
    def clients(self) -> tuple[Call, ...]:
        """The calls that are neither the nemesis' nor a watcher's."""
        return tuple(
            call
            for call in self.calls
            if call.process != NEMESIS and not call.process.startswith(WATCH)
        )

    @cached_property
    def watched(self) -> tuple[Call, ...]:
        """What watchers saw of the platform: the calls of processes whose name begins so."""
        return tuple(call for call in self.calls if call.process.startswith(WATCH))

    @cached_property
    def faults(self) -> tuple[Call, ...]:
        """The nemesis' calls that injected something, proven (ok) or not."""
        return tuple(
            call for call in self.calls if call.process == NEMESIS and call.function != HEAL
        )

    def of(self, *functions: str) -> tuple[Call, ...]:
        """The clients' calls of these functions, in the order of invocation."""
        found = [self._by_function.get(function, ()) for function in dict.fromkeys(functions)]
        if len(found) == 1:
            return found[0]
        return tuple(sorted(itertools.chain(*found), key=_START))

    @cached_property
    def _by_function(self) -> dict[str, tuple[Call, ...]]:
        """The clients' calls, for all checkers of this history."""
        calls: dict[str, list[Call]] = {}
        for call in self.clients:
            calls.setdefault(call.function, []).append(call)
        return {function: tuple(found) for function, found in calls.items()}

    def before(self, position: int) -> History:
        """The first `position` operations; what was open then counts as info."""
        return History(self.operations[:position])

    def to_lines(self) -> str:
        """JSON, one operation a line, the same text for the same history."""
        lines = (_json(_as_dict(operation), ascii_only=True) for operation in self.operations)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def from_lines(cls, text: str) -> History:
        """What `to_lines` wrote. Raises ValueError, with the line's number, for anything else."""
        operations: list[Operation] = []
        if not text:
            return cls()
        for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
            try:
                operations.append(Operation(**json.loads(line)))
            except (TypeError, ValueError) as error:
                raise ValueError(f"line {number} is no operation: {error}") from error
        return cls(tuple(operations))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_lines`: names this history in a verdict."""
        return hashlib.sha256(self.to_lines().encode()).hexdigest()

    def text(self, marked: Iterable[Operation] = (), around: int | None = None) -> str:
        """The history for people, `marked` operations with a `>`.

        around: only so many lines before and after each marked one.
        """
        marks = set(marked)
        hits = [at for at, operation in enumerate(self.operations) if operation in marks]
        wanted = set(range(len(self)))
        if around is not None:
            wanted = {at for hit in hits for at in range(hit - around, hit + around + 1)}
        lines: list[str] = []
        skipped = False
        for at, operation in enumerate(self.operations):
            if at not in wanted:
                skipped = True
                continue
            if skipped:
                lines.append("  …")
            skipped = False
            lines.append(f"{'>' if operation in marks else ' '} {operation}")
        return "\n".join(lines + ["  …"] * skipped)


_START = operator.attrgetter("start")


def _paired(operations: Sequence[Operation]) -> Iterator[Call]:
    ends = _completions(operations)
    for at, operation in enumerate(operations):
        if operation.kind is Kind.INVOKE:
            end = ends.get(at)
            completion = None if end is None else operations[end]
            if completion is None or completion.kind is Kind.INFO:
                end = None
            yield Call(operation, completion, at, end)


def _completions(operations: Sequence[Operation]) -> dict[int, int]:
    """The position of each invocation that was completed → that of its completion."""
    ends: dict[int, int] = {}
    open_: dict[str, int] = {}
    last = 0
    for at, operation in enumerate(operations):
        if at and operation.time < last:
            raise ValueError(f"the clock runs back at {operation}")
        last = operation.time
        if operation.kind is Kind.INVOKE:
            open_[operation.process] = at
            continue
        place = open_.pop(operation.process, None)
        if place is None:
            raise ValueError(f"nothing was invoked for {operation}")
        invoke = operations[place]
        if (invoke.function, invoke.key) != (operation.function, operation.key):
            raise ValueError(f"{operation} completes another operation: {invoke}")
        ends[place] = at
    return ends


def _frozen(value: Any) -> Value:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a history holds JSON without objects, not {type(value).__name__}")


def _json(value: Any, ascii_only: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))


def _as_dict(operation: Operation) -> dict[str, Any]:
    line: dict[str, Any] = {
        "time": operation.time,
        "process": operation.process,
        "kind": str(operation.kind),
        "function": operation.function,
        "key": operation.key,
        "value": operation.value,
    }
    line |= {"error": operation.error} if operation.error else {}
    return line | ({"by": operation.by} if operation.by is not None else {})
