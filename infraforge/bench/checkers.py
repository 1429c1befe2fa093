"""How many operations the checkers judge a second, on generated histories of a failover."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from infraforge.checkers import (
    RecoversWithin,
    acknowledged_writes_kept,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
    reads_are_monotonic,
)
from infraforge.checkers.origin import Origin
from infraforge.errors import Inconclusive
from infraforge.history import NEMESIS, History, Kind, Operation, Value
from infraforge.progress import Progress
from infraforge.verdict import Checker, Outcome

SIZES = (5_000, 40_000, 200_000)
JUDGES: tuple[Checker, ...] = (
    acknowledged_writes_kept,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
    reads_are_monotonic,
    RecoversWithin(60.0),
)
UNANSWERED = 0.2
_REGISTERS = 4
_MEMBERS = ("pg-0", "pg-1")


def checkers(_: str, say: Progress) -> Mapping[str, float]:
    """Operations judged in a second of processor time, by each checker and by all of them, where a
    fifth of the operations is unanswered. Raises Inconclusive where one does not hold.

    An operation is an invocation with its completion. Making the history is not in the figures.
    """
    figures = {}
    for size in SIZES:
        say("history", f"{size} operations")
        history = generated(size)
        took = {judge: _seconds(judge, history) for judge in JUDGES}
        for judge, spent in took.items():
            name = getattr(judge, "__name__", type(judge).__name__)
            figures[f"{name} of {size}, 1/s"] = size / spent
        figures[f"all of {size}, 1/s (above 100000)"] = size / sum(took.values())
    return figures


def generated(
    size: int,
    seed: int = 1,
    *,
    number: Callable[[int], int] = int,
    text: Callable[[str], str] = str,
) -> History:
    """A sound history of so many operations: a third adds, a third writes, a third reads, with a
    failover in the middle; two final reads. number, text: what values are made of."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    operations: list[Operation] = []
    elements: list[Value] = []
    registers: dict[str, tuple[Value, Value]] = {}

    def log(process: str, kind: Kind, function: str, key: str | None, value: Value) -> None:
        reign = 0 if at < size // 2 else 1
        origin = Origin(_MEMBERS[reign], f"10.0.0.{reign}:5432", reign + 1, "primary", "7")
        by = origin.to_value() if kind is Kind.OK and process != NEMESIS else None
        operations.append(
            Operation(process, kind, function, key, value, len(operations) * 1_000_000, by=by)
        )

    def apply(function: str, key: str, value: Value) -> Value:
        if function == "add":
            elements.append(value)
            return value
        if function == "write":
            version = registers[key][0] if key in registers else 0
            assert isinstance(version, int)
            registers[key] = (number(version + 1), value)
        return registers.get(key)

    for at in range(size):
        if at == size // 2:
            log(NEMESIS, Kind.INVOKE, "kill", None, _MEMBERS[0])
            log(NEMESIS, Kind.OK, "kill", None, _MEMBERS[0])
        function = chance.choice(("add", "write", "read"))
        key = text("set" if function == "add" else f"register-{chance.randrange(_REGISTERS)}")
        offered: dict[str, Value] = {"add": number(at), "write": text(f"content {at}")}
        asked = offered.get(function)
        log(f"client-{at % 8}", Kind.INVOKE, function, key, asked)
        if chance.random() < UNANSWERED:
            if chance.random() < 0.5:
                apply(function, key, asked)
            log(f"client-{at % 8}", Kind.INFO, function, key, asked)
        else:
            log(f"client-{at % 8}", Kind.OK, function, key, apply(function, key, asked))
    for member in _MEMBERS:
        log(f"final-{member}", Kind.INVOKE, "read", text("set"), None)
        log(f"final-{member}", Kind.OK, "read", text("set"), tuple(elements))
    return History(tuple(operations))


def _seconds(judge: Checker, history: History) -> float:
    """Of processor time, which others on the machine do not add to."""
    began = time.process_time()
    verdict = judge(history)
    took = time.process_time() - began
    if verdict.outcome is not Outcome.HOLDS:
        raise Inconclusive(f"a sound history is not judged as one: {verdict.explain()}")
    return took
