"""What a whole run says: from the outcome of each test to one exit code. Pure.

    0  everything holds      1  something is broken      2  unknown

Broken beats unknown beats holds. A run in which nothing ran, or in which a required test did not
run, is unknown.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from infraforge.errors import Broken, Inconclusive


class Outcome(enum.StrEnum):
    """Of one test."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


_NAMED = 5
_WORSE = (Outcome.SKIPPED, Outcome.HOLDS, Outcome.UNKNOWN, Outcome.BROKEN)


def of_failure(error: BaseException | None, phase: str) -> Outcome:
    """What a failed phase (`setup`, `call`, `teardown`) says of the platform.

    An assertion of the test itself says broken. Whatever else goes wrong, and whatever goes wrong
    before or after the test proper, says nothing of the property: unknown.
    """
    if isinstance(error, Inconclusive):
        return Outcome.UNKNOWN
    asserted = isinstance(error, AssertionError | pytest.fail.Exception)
    if isinstance(error, Broken) or (asserted and phase == "call"):
        return Outcome.BROKEN
    return Outcome.UNKNOWN


@dataclass
class Tally:
    """The outcomes of a run, by node id."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def take(self, node_id: str, outcome: Outcome) -> None:
        """Note an outcome of one phase; a test's worst phase counts."""
        old = self.outcomes.get(node_id, Outcome.SKIPPED)
        self.outcomes[node_id] = max(old, outcome, key=_WORSE.index)

    def count(self, outcome: Outcome) -> int:
        return sum(1 for found in self.outcomes.values() if found is outcome)

    def missing(self, required: Sequence[str]) -> list[str]:
        """Required tests of which no case ran."""
        ran = {
            node_id.split("[")[0]
            for node_id, outcome in self.outcomes.items()
            if outcome is not Outcome.SKIPPED
        }
        return [name for name in required if name not in ran]

    def exit_code(self, required: Sequence[str]) -> int:
        if self.count(Outcome.BROKEN):
            return 1
        if self.count(Outcome.UNKNOWN) or self.missing(required):
            return 2
        return 0 if self.count(Outcome.HOLDS) else 2

    def summary(self, required: Sequence[str]) -> list[str]:
        """Lines for the end of a run."""
        counts = " · ".join(f"{self.count(outcome)} {outcome.value}" for outcome in Outcome)
        lines, missing = [f"verdicts: {counts}"], self.missing(required)
        lines += [f"required, but did not run: {name}" for name in missing[:_NAMED]]
        if len(missing) > _NAMED:
            lines.append(f"… and {len(missing) - _NAMED} more: a part of the suites is no verdict")
        return lines


def red(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Names (without parameters) of tests of which a case is broken."""
    return _named(node for node, outcome in outcomes.items() if outcome is Outcome.BROKEN)


def unknown(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Names (without parameters) of tests of which a case is unknown and none is broken."""
    found = _named(node for node, outcome in outcomes.items() if outcome is Outcome.UNKNOWN)
    return found - red(outcomes)


def _named(nodes: Iterable[str]) -> set[str]:
    return {node.split("[")[0] for node in nodes}
