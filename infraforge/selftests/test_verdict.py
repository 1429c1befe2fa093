"""Verdicts: three outcomes, and unknown is never mistaken for another."""

from __future__ import annotations

import pytest

from infraforge.errors import Broken, Inconclusive, Late
from infraforge.history import History
from infraforge.selftests.histories import history
from infraforge.verdict import (
    Outcome,
    Verdict,
    broken,
    check,
    control,
    holds,
    in_time,
    merge,
    of_property,
    unknown,
)

ONE = history("a invoke read x\na ok read x 1")
YES, NO, MAYBE = holds("p", "fine"), broken("p", "bad", *ONE), unknown("p", "no data")


def test_an_assertion_fails_on_broken_and_is_inconclusive_on_unknown() -> None:
    assert YES.holds, YES.explain()
    with pytest.raises(AssertionError, match="p is broken: bad"):
        assert NO.holds, NO.explain()
    with pytest.raises(Inconclusive, match="p is unknown: no data"):
        assert MAYBE.holds, MAYBE.explain()
    with pytest.raises(Inconclusive):
        assert not MAYBE


def test_demand_raises_what_the_assertion_would() -> None:
    YES.demand()
    with pytest.raises(Broken, match="bad"):
        NO.demand()
    with pytest.raises(Inconclusive, match="no data"):
        MAYBE.demand()


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([YES, YES], Outcome.HOLDS),
        ([YES, MAYBE], Outcome.UNKNOWN),
        ([MAYBE, NO, YES], Outcome.BROKEN),
        ([], Outcome.UNKNOWN),
    ],
)
def test_broken_wins_over_unknown_over_holds(verdicts: list[Verdict], outcome: Outcome) -> None:
    assert merge(*verdicts).outcome is outcome


def test_the_merged_text_tells_every_part_with_its_evidence() -> None:
    text = merge(YES, NO, MAYBE, name="all").explain()
    assert text.splitlines()[0] == "all is broken: 1 holds, 1 broken, 1 unknown"
    assert "read  x  1" in text
    assert "no data" in text


def test_long_evidence_is_cut_in_the_text() -> None:
    assert "… and 8 more" in broken("p", "bad", *ONE.operations * 10).explain()


def test_a_failing_checker_means_unknown() -> None:
    def crashes(history: History) -> Verdict:
        raise KeyError("version")

    verdict = check(ONE, crashes)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "its checker failed: KeyError: 'version'" in verdict.explanation
    assert check(ONE).outcome is Outcome.UNKNOWN


def test_a_verdict_names_the_history_it_judged_and_its_checker() -> None:
    def fine(history: History) -> Verdict:
        return YES

    verdict = check(ONE, fine, fine)
    assert {verdict.digest, *(part.digest for part in verdict.parts)} == {ONE.digest}
    assert [part["name"] for part in verdict.to_dict()["parts"]] == ["fine", "fine"]


@pytest.mark.parametrize("condition", [False, None, [], "", 0])
def test_a_failed_control_is_inconclusive(condition: object) -> None:
    control([1], "this one holds")
    with pytest.raises(Inconclusive, match="the control does not hold: nobody answers"):
        control(condition, "nobody answers")


def test_what_took_too_long_is_late_and_says_how_long() -> None:
    in_time(20.0, 20.0, "access ends")
    with pytest.raises(Late, match=r"access ends: 31\.2 s, not within 20 s") as late:
        in_time(31.2, 20.0, "access ends")
    began, ended = late.value.waited or (0.0, 0.0)
    assert ended - began == pytest.approx(31.2)
    with pytest.raises(Late):
        in_time(float("nan"), 20.0, "access ends")


def test_a_test_may_be_skipped_and_a_verdict_never() -> None:
    with pytest.raises(ValueError, match="never skipped"):
        Verdict("p", Outcome.SKIPPED, "")
    with pytest.raises(ValueError, match="no property"):
        of_property("skipped")
    assert of_property("broken") is Outcome.BROKEN
