"""Sound histories of failovers are never accused; an anomaly planted into one is always found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infraforge.checkers import (
    RecoversWithin,
    acknowledged_writes_kept,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
    reads_are_monotonic,
    recovery_is_explained,
)
from infraforge.checkers.acknowledged import lost
from infraforge.history import History
from infraforge.selftests import failovers
from infraforge.verdict import Checker, Outcome, check

JUDGES: tuple[Checker, ...] = (
    acknowledged_writes_kept,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
)
SEEDS = st.integers(0, 2**32)
REAL = Path(__file__).parent / "recorded" / "failover.jsonl"


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 3))
def test_a_sound_history_is_never_accused(seed: int, reigns: int) -> None:
    seen = failovers.sound(seed, failovers=reigns)
    verdict = check(seen, *JUDGES)
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()
    assert reads_are_monotonic(seen).outcome is not Outcome.BROKEN
    assert recovery_is_explained(seen).outcome is not Outcome.BROKEN
    assert lost(seen) == 0


@pytest.mark.parametrize(
    ("plant", "judge"),
    [
        (failovers.a_lost_write, acknowledged_writes_kept),
        (failovers.a_phantom, no_phantom),
        (failovers.a_read_from_the_future, no_phantom),
        (failovers.a_phantom, acknowledged_writes_kept),
        (failovers.two_primaries, one_primary_at_a_time),
        (failovers.a_read_of_a_former_primary, one_primary_at_a_time),
        (failovers.a_read_back_in_time, no_stale_read),
    ],
)
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_planted_anomaly_is_always_found(
    plant: failovers.Plant, judge: Checker, seed: int
) -> None:
    seen = plant(failovers.sound(seed), random.Random(seed))  # noqa: S311 - no secret
    verdict = judge(seen)
    assert verdict.outcome is Outcome.BROKEN, verdict.explain()
    assert verdict.evidence


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_what_was_lost_is_counted(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    assert lost(failovers.a_lost_write(failovers.sound(seed), chance)) == 1
    assert lost(History()) is None


def test_one_history_may_hold_sets_and_registers() -> None:
    """Each checker judges what is its own: a set of two is no version with its content."""
    seen = failovers.sound(7)
    assert "keys are not stale" in no_stale_read(seen).explanation
    assert "elements are in each of 3 final reads" in acknowledged_writes_kept(seen).explanation


def test_a_recorded_failover_is_judged_as_it_was() -> None:
    """A real one, of three members on loopback (`test_postgres_load`), kept as it was recorded."""
    seen = History.from_lines(REAL.read_text())
    verdict = check(seen, *JUDGES, RecoversWithin(1.0), recovery_is_explained)
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()
    assert "pg-0 on timeline 1, pg-1 on timeline 2" in verdict.explain()
    assert RecoversWithin(0.5)(seen).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("plant", "judge"),
    [
        (failovers.a_lost_write, acknowledged_writes_kept),
        (failovers.a_phantom, no_phantom),
        (failovers.a_read_from_the_future, no_phantom),
        (failovers.two_primaries, one_primary_at_a_time),
        (failovers.a_read_back_in_time, no_stale_read),
    ],
)
def test_an_anomaly_planted_into_the_recorded_one_is_found(
    plant: failovers.Plant, judge: Checker
) -> None:
    seen = History.from_lines(REAL.read_text())
    for seed in range(5):
        planted = plant(seen, random.Random(seed))  # noqa: S311 - no secret
        assert judge(planted).outcome is Outcome.BROKEN
