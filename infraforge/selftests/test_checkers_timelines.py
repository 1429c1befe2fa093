"""The timeline checker, and that of phantoms, on histories that hold, break and stay unknown."""

from __future__ import annotations

import pytest

from infraforge.checkers import no_phantom, one_primary_at_a_time
from infraforge.checkers.origin import Origin
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.selftests.histories import history
from infraforge.verdict import Outcome

A1 = Origin("a", "10.0.0.1:5432", 1, "primary", "77")
A1_MOVED = Origin("a", "10.0.0.9:5432", 1, "primary", "77")
A3 = Origin("a", "10.0.0.1:5432", 3, "primary", "77")
B1 = Origin("b", "10.0.0.2:5432", 1, "primary", "77")
B1_STANDBY = Origin("b", "10.0.0.2:5432", 1, "standby", "77")
B2 = Origin("b", "10.0.0.2:5432", 2, "primary", "77")
C2 = Origin("c", "10.0.0.3:5432", 2, "primary", "77")
C2_ANEW = Origin("c", "10.0.0.3:5432", 2, "primary", "78")


def answered(*origins: Origin | None, function: str = "add") -> History:
    """One call after the other, answered by these."""
    recorder = Recorder()
    for number, origin in enumerate(origins):
        call = recorder.invoke(f"client {number}", function, "set", number)
        call.ok(number, by=origin.to_value() if origin else None)
    return recorder.history


@pytest.mark.parametrize(
    "origins",
    [
        pytest.param((A1, A1), id="one"),
        pytest.param((A1, A1, B2, B2, A3), id="a failover, and back"),
        pytest.param((A1, A1_MOVED, A1_MOVED), id="started again at another address"),
        pytest.param((A1, B1_STANDBY, A1, B2, B1_STANDBY, B2), id="a standby that lags"),
    ],
)
def test_one_line_of_reigns_holds(origins: tuple[Origin, ...]) -> None:
    verdict = one_primary_at_a_time(answered(*origins))
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()


@pytest.mark.parametrize(
    ("origins", "says"),
    [
        ((A1, B2, A1), "a answered as primary of timeline 1 after b had on timeline 2"),
        ((A1, B1), "a and b both answered as primary of timeline 1"),
        ((A1, B2, C2, B2), "b and c both answered as primary of timeline 2"),
        ((A1, C2_ANEW), "a is of system 77, c of 78"),
        ((B1_STANDBY, C2_ANEW), "b is of system 77, c of 78"),
        ((A1, A1_MOVED, A1), "a answered at 10.0.0.1:5432 again, after it had moved"),
    ],
)
def test_two_lines_are_found(origins: tuple[Origin, ...], says: str) -> None:
    for function in ("add", "read", "write"):
        verdict = one_primary_at_a_time(answered(*origins, function=function))
        assert verdict.outcome is Outcome.BROKEN, verdict.explain()
        assert says in verdict.explanation
        assert verdict.evidence


def test_calls_that_overlap_may_be_seen_in_either_order() -> None:
    """The former primary's answer may come late: it was given before the promotion."""
    recorder = Recorder()
    slow = recorder.invoke("slow", "read", "set")
    recorder.invoke("quick", "add", "set", 1).ok(1, by=B2.to_value())
    slow.ok([], by=A1.to_value())
    assert one_primary_at_a_time(recorder.history).outcome is Outcome.HOLDS
    recorder.invoke("late", "read", "set").ok([], by=A1.to_value())
    assert one_primary_at_a_time(recorder.history).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("origins", "says"),
    [
        ((), "0 answers of a primary"),
        ((A1,), "1 answers of a primary"),
        ((B1_STANDBY, B1_STANDBY), "0 answers of a primary"),
        ((A1, None, A1), "answers that do not say whose they are: {'add': 1}"),
    ],
)
def test_too_little_is_unknown(origins: tuple[Origin | None, ...], says: str) -> None:
    verdict = one_primary_at_a_time(answered(*origins))
    assert verdict.outcome is Outcome.UNKNOWN
    assert says in verdict.explanation


def test_what_no_call_of_its_kind_says_is_another_workloads() -> None:
    seen = answered(A1, A1) + answered(None, None, function="GET /")
    assert one_primary_at_a_time(seen).outcome is Outcome.HOLDS


def test_an_origin_that_is_none_is_refused() -> None:
    for wrong in (("a",), ("a", "b", "1", "primary", "c"), ("a", "b", 1, "leader", "c"), "a"):
        with pytest.raises(TypeError):
            Origin.of(wrong)
    assert Origin.of(A1.to_value()) == A1


@pytest.mark.parametrize(
    ("text", "outcome", "says"),
    [
        ("a invoke add - 1\nr invoke read\nr ok read - [1]", Outcome.HOLDS, "1 elements in 1"),
        (
            "a invoke add - 1\na fail add - 1\nr invoke read\nr ok read - [1]",
            Outcome.BROKEN,
            "r read 1, though its add failed",
        ),
        (
            "r invoke read\nr ok read - [1]\na invoke add - 1\na ok add - 1",
            Outcome.BROKEN,
            "r read 1, though its add had not begun",
        ),
        (
            "a invoke add - 1\na ok add - 1\nr invoke read\nr ok read - [1,2]",
            Outcome.BROKEN,
            "r read 2, which nobody added",
        ),
        ("a invoke add - 1\nr invoke read\nr ok read - []", Outcome.UNKNOWN, "found nothing"),
        ("r invoke read x\nr ok read x [1,2]", Outcome.UNKNOWN, "0 reads of a set"),
    ],
)
def test_a_phantom_is_found_in_any_read(text: str, outcome: Outcome, says: str) -> None:
    verdict = no_phantom(history(text))
    assert verdict.outcome is outcome, verdict.explain()
    assert says in verdict.explanation
