"""A fault is proven before its outcome is judged; what was wrong before it is not its doing."""

from __future__ import annotations

import pytest

from infraforge.checkers import acknowledged_writes_kept, fault_took_effect, of, under_fault
from infraforge.checkers.stale import no_stale_read
from infraforge.history import History
from infraforge.selftests.histories import history
from infraforge.verdict import Outcome, Rule, Verdict, check, holds

FAULT = """
    nemesis invoke kill - "pg-0"
    nemesis ok     kill - "pg-0 does not answer"
"""
KEPT = "a invoke add - 1\na ok add - 1"
READ = "r invoke read\nr ok read - [1]"
LOST = "r invoke read\nr ok read - []"
STALE = """
    a invoke write x "two"
    a ok     write x [2,"two"]
    b invoke read  x
    b ok     read  x [1,"one"]
"""


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (FAULT, Outcome.HOLDS),
        ("", Outcome.UNKNOWN),
        ("nemesis invoke heal\nnemesis ok heal", Outcome.UNKNOWN),
        ("nemesis invoke kill", Outcome.UNKNOWN),
        ("nemesis invoke kill\nnemesis info kill", Outcome.UNKNOWN),
        (FAULT + "nemesis invoke cut\nnemesis fail cut", Outcome.UNKNOWN),
    ],
)
def test_a_fault_counts_once_it_is_proven(text: str, outcome: Outcome) -> None:
    assert fault_took_effect(history(text)).outcome is outcome


@pytest.mark.parametrize(
    ("parts", "outcome", "says"),
    [
        ([KEPT, FAULT, READ], Outcome.HOLDS, "1 acknowledged"),
        ([KEPT, FAULT, LOST], Outcome.BROKEN, "1 lost"),
        ([KEPT, FAULT], Outcome.UNKNOWN, "was not read"),
        ([KEPT, READ, FAULT], Outcome.UNKNOWN, "no operation after the fault succeeded"),
        ([KEPT, READ, FAULT, "c invoke look\nc fail look"], Outcome.UNKNOWN, "no operation after"),
        ([KEPT, LOST], Outcome.UNKNOWN, "no fault was injected"),
        (
            ["b invoke add - 2\nb info add - 2", KEPT, FAULT, LOST],
            Outcome.UNKNOWN,
            "1 operations went wrong before the fault",
        ),
        (["b invoke add - 2", KEPT, FAULT, "b info add - 2", LOST], Outcome.BROKEN, "1 lost"),
        (["b invoke add - 2\nb fail add - 2", KEPT, FAULT, READ], Outcome.HOLDS, "1 acknowledged"),
    ],
)
def test_the_outcome_is_judged_only_under_the_fault(
    parts: list[str], outcome: Outcome, says: str
) -> None:
    verdict = check(history("\n".join(parts)), under_fault(acknowledged_writes_kept))
    assert verdict.outcome is outcome, verdict.explain()
    assert says in verdict.explain()


def test_broken_before_the_fault_is_unknown() -> None:
    judge = under_fault(no_stale_read)
    assert check(history(STALE + FAULT), judge).outcome is Outcome.UNKNOWN
    assert check(history(FAULT + STALE), judge).outcome is Outcome.BROKEN


def test_a_checker_is_made_again_from_its_rule() -> None:
    judge = under_fault(acknowledged_writes_kept)
    verdict = check(history(f"{KEPT}{FAULT}{READ}"), judge)
    assert verdict.name == "under_fault(acknowledged_writes_kept)"
    assert verdict.rule
    assert of(Rule.from_dict(verdict.rule.to_dict())) == judge
    with pytest.raises(KeyError):
        of(Rule("no_such_checker"))


def test_a_checker_of_a_tests_own_is_not_taken_for_ours() -> None:
    def no_stale_read(_: History) -> Verdict:  # as one of ours is called
        return holds("x", "x")

    with pytest.raises(KeyError):
        of(Rule.of(no_stale_read))
