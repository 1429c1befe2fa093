"""Checkers stay near n log n: counted in executed instructions, which no other load changes."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from infraforge.bench.checkers import JUDGES, generated
from infraforge.checkers import acknowledged_writes_kept
from infraforge.history import History, Kind, Operation
from infraforge.verdict import Checker, Outcome, Verdict, holds, name_of

SMALL, TIMES = 300, 6
MOST = 1.35 * TIMES
"""n log n from 300 to 1,800 is 7.9 times as much; n² is 36 times."""


class Number(int):
    """One whose comparisons are counted as well, also those that a list or a set makes."""

    def __eq__(self, other: object) -> bool:
        return int.__eq__(self, other)  # type: ignore[arg-type, no-any-return]

    __hash__ = int.__hash__


class Text(str):
    """As `Number`."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def instructions(judge: Checker, seen: History) -> int:
    """How many of Python's instructions it takes to judge the history."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        verdict = judge(seen)
    finally:
        sys.settrace(before)
    assert verdict.outcome is not Outcome.UNKNOWN, verdict.explain()
    return count


def growth(judge: Checker) -> float:
    sizes = SMALL, SMALL * TIMES
    small, large = (
        instructions(judge, generated(size, number=Number, text=Text)) for size in sizes
    )
    return large / small


@pytest.mark.parametrize("judge", JUDGES, ids=name_of)
def test_six_times_as_long_a_history_takes_hardly_more_than_six_times_as_much(
    judge: Checker,
) -> None:
    assert growth(judge) < MOST


def quadratic(history: History) -> Verdict:
    """As one that looks through a list for each operation."""
    known: list[object] = []
    for call in history.of("add"):
        if call.value not in known:
            known.append(call.value)
    return holds("quadratic", "no double")


def test_a_quadratic_checker_is_told_from_the_others() -> None:
    assert growth(quadratic) > 2 * MOST


def test_many_sets_and_many_losses_are_no_more_than_their_number() -> None:
    """One set for each key, and every element lost."""
    counts = []
    for size in (SMALL, SMALL * TIMES):
        operations = []
        for at in range(size):
            for kind in (Kind.INVOKE, Kind.OK):
                operations.append(Operation("w", kind, "add", Text(at % 40), Number(at), at))
        for at in range(40):
            for kind in (Kind.INVOKE, Kind.OK):
                operations.append(Operation("r", kind, "read", Text(at), (), size + at))
        counts.append(instructions(acknowledged_writes_kept, History(tuple(operations))))
    assert counts[1] / counts[0] < MOST
