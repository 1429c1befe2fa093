"""The result of a run: one exit code from many outcomes."""

from __future__ import annotations

import pytest

from infraforge.errors import Broken, Inconclusive, NotReady, TimedOut
from infraforge.outcome import Tally, of_failure, red, unknown
from infraforge.verdict import Outcome

A, B = "suites/x.py::test_a", "suites/x.py::test_b"


@pytest.mark.parametrize(
    ("error", "phase", "outcome"),
    [
        (AssertionError("no"), "call", Outcome.BROKEN),
        (pytest.fail.Exception("nothing was raised"), "call", Outcome.BROKEN),
        (AssertionError("no"), "setup", Outcome.UNKNOWN),
        (Broken("no"), "setup", Outcome.BROKEN),
        (TimedOut("late"), "call", Outcome.UNKNOWN),
        (Inconclusive("?"), "call", Outcome.UNKNOWN),
        (NotReady("vault", "sealed"), "setup", Outcome.UNKNOWN),
        (OSError("network"), "call", Outcome.UNKNOWN),
        (None, "call", Outcome.UNKNOWN),
        (pytest.xfail.Exception("known"), "call", Outcome.UNKNOWN),
        (ExceptionGroup("two", [OSError(), AssertionError("no")]), "call", Outcome.BROKEN),
        (ExceptionGroup("two", [OSError(), Inconclusive("?")]), "call", Outcome.UNKNOWN),
    ],
)
def test_only_an_assertion_says_broken(
    error: BaseException | None, phase: str, outcome: Outcome
) -> None:
    assert of_failure(error, phase) is outcome


def test_nothing_ran_is_unknown() -> None:
    assert Tally().exit_code([]) == 2


def test_all_skipped_is_unknown() -> None:
    tally = Tally()
    tally.take(A, Outcome.SKIPPED)
    assert tally.exit_code([]) == 2


def test_broken_beats_unknown_beats_holds() -> None:
    tally = Tally()
    tally.take(A, Outcome.HOLDS)
    assert tally.exit_code([A]) == 0
    tally.take(B, Outcome.UNKNOWN)
    assert tally.exit_code([A]) == 2
    tally.take("suites/x.py::test_c", Outcome.BROKEN)
    assert tally.exit_code([A]) == 1


def test_a_failed_teardown_is_not_forgotten() -> None:
    tally = Tally()
    tally.take(A, Outcome.HOLDS)
    tally.take(A, Outcome.UNKNOWN)
    tally.take(A, Outcome.HOLDS)
    assert tally.exit_code([]) == 2


def test_a_required_test_that_did_not_run_is_unknown_and_named() -> None:
    tally = Tally()
    tally.take(f"{A}[one]", Outcome.HOLDS)
    assert tally.exit_code([A]) == 0
    assert tally.exit_code([A, B]) == 2
    assert any(B in line for line in tally.summary([A, B]))


def test_a_required_test_that_was_skipped_did_not_run() -> None:
    tally = Tally()
    tally.take(A, Outcome.HOLDS)
    tally.take(B, Outcome.SKIPPED)
    assert tally.missing([A, B]) == [B]


def test_red_and_unknown_tests_are_named() -> None:
    outcomes = {
        f"{A}[1]": Outcome.BROKEN,
        f"{A}[2]": Outcome.UNKNOWN,
        f"{B}[1]": Outcome.UNKNOWN,
        "suites/x.py::test_c": Outcome.HOLDS,
    }
    assert red(outcomes) == {A}
    assert unknown(outcomes) == {B}


def test_an_assertion_in_called_code_is_not_the_tests_own() -> None:
    assert of_failure(AssertionError("no"), "call", own=False) is Outcome.UNKNOWN
    assert of_failure(Broken("no"), "call", own=False) is Outcome.BROKEN


def test_every_case_counts_by_itself() -> None:
    tally = Tally(cases={f"{A}[1]", f"{A}[2]", B})
    tally.take(f"{A}[1]", Outcome.HOLDS)
    assert tally.missing([A]) == [f"{A}[2]"]
    assert tally.missing([f"{A}[1]", B]) == [B]
    tally.take(f"{A}[2]", Outcome.SKIPPED)
    tally.unable.add(f"{A}[2]")
    assert (tally.missing([A]), tally.not_here([A]), tally.exit_code([A])) == ([], [f"{A}[2]"], 3)
    assert tally.exit_code([A, B]) == 2
    tally.take(B, Outcome.BROKEN)
    assert tally.exit_code([A, B]) == 1


def test_a_case_that_could_not_be_in_one_process_and_ran_in_another_has_run() -> None:
    tally = Tally(unable={A})
    tally.take(A, Outcome.HOLDS)
    assert (tally.not_here([A]), tally.exit_code([A])) == ([], 0)
