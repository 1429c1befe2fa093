"""What a whole run says: from the outcome of each test to one exit code. Pure.

    0  everything holds      1  something is broken      2  unknown
    3  holds, but for required tests that this cluster cannot show

Broken beats unknown beats holds. A run in which nothing ran, or in which a case of a required test
did not run, is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from infraforge.errors import Broken, Inconclusive
from infraforge.verdict import Outcome

_NAMED = 5
WORSE = (Outcome.SKIPPED, Outcome.HOLDS, Outcome.UNKNOWN, Outcome.BROKEN)
"""Each is worse than those before it; of several the worst counts."""


def of_failure(error: BaseException | None, phase: str, *, own: bool = True) -> Outcome:
    """What a failed phase (`setup`, `call`, `teardown`) says of the platform.

    An assertion of the test itself says broken. Whatever else goes wrong (an assertion within a
    library or the harness, too), and whatever goes wrong before or after the test proper, says
    nothing of the property: unknown. own: whether the error was raised by the test itself, and not
    by what it called.
    """
    if isinstance(error, BaseExceptionGroup):
        return max((of_failure(one, phase, own=own) for one in error.exceptions), key=WORSE.index)
    if isinstance(error, Inconclusive | pytest.xfail.Exception):
        return Outcome.UNKNOWN
    asserted = isinstance(error, AssertionError | pytest.fail.Exception)
    if isinstance(error, Broken) or (asserted and phase == "call" and own):
        return Outcome.BROKEN
    return Outcome.UNKNOWN


@dataclass
class Tally:
    """The outcomes of a run, by node id; what was there to run; what this cluster cannot show."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    cases: set[str] = field(default_factory=set)
    """Node ids of all cases there are, those that were not selected included."""
    unable: set[str] = field(default_factory=set)
    """Cases that need an ability which a cluster of this kind lacks."""
    partly: set[str] = field(default_factory=set)
    """Cases of which a part was skipped."""

    def take(self, node_id: str, outcome: Outcome) -> None:
        """Note an outcome of one phase; a test's worst phase counts."""
        old = self.outcomes.get(node_id, Outcome.SKIPPED)
        self.outcomes[node_id] = max(old, outcome, key=WORSE.index)

    def count(self, outcome: Outcome) -> int:
        return sum(1 for found in self.outcomes.values() if found is outcome)

    def missing(self, required: Sequence[str]) -> list[str]:
        """Required tests that did not run, and of the others each case that did not.

        Cases that this cluster cannot show are not among them.
        """
        found: list[str] = []
        for name in dict.fromkeys(required):
            cases = self._cases(name)
            silent = [case for case in cases if not self._ran(case)]
            owed = [case for case in silent if case not in self.unable]
            none_ran = len(silent) == len(cases) == len(owed)
            found += [name] if none_ran else sorted(owed)
        return found

    def not_here(self, required: Sequence[str]) -> list[str]:
        """Required cases that this cluster cannot show."""
        cases = {case for name in required for case in self._cases(name)}
        return sorted(case for case in cases & self.unable if not self._ran(case))

    def exit_code(self, required: Sequence[str]) -> int:
        if self.count(Outcome.BROKEN):
            return 1
        if self.count(Outcome.UNKNOWN) or self.missing(required) or not self.count(Outcome.HOLDS):
            return 2
        return 3 if self.not_here(required) else 0

    def concluded(self, of_pytest: int, required: Sequence[str]) -> int:
        """The exit code of a run about the platform, from pytest's own.

        One that was cut short (2, 3) is never better than unknown, nor is one without a test (5).
        """
        if of_pytest in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return self.exit_code(required)
        if of_pytest in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
            return 1 if self.count(Outcome.BROKEN) else 2
        return 2 if of_pytest == pytest.ExitCode.NO_TESTS_COLLECTED else of_pytest

    def summary(self, required: Sequence[str]) -> list[str]:
        """Lines for the end of a run."""
        counts = " · ".join(f"{self.count(outcome)} {outcome.value}" for outcome in Outcome)
        lines, missing = [f"verdicts: {counts}"], self.missing(required)
        lines += [f"required, but did not run: {name}" for name in missing[:_NAMED]]
        if len(missing) > _NAMED:
            lines.append(f"… and {len(missing) - _NAMED} more: a part of the suites is no verdict")
        if self.exit_code(required) == 3:
            number = len(self.not_here(required))
            lines.append(f"holds, but for {number} required that this cluster cannot show")
        return lines

    def _ran(self, case: str) -> bool:
        found = self.outcomes.get(case, Outcome.SKIPPED)
        return found is not Outcome.SKIPPED and case not in self.partly

    def _cases(self, name: str) -> list[str]:
        """All cases of a test; of a case, itself."""
        known = self.cases | self.outcomes.keys()
        return sorted(case for case in known if name in (case, case.split("[")[0]))


def red(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Names (without parameters) of tests of which a case is broken."""
    return _named(node for node, outcome in outcomes.items() if outcome is Outcome.BROKEN)


def unknown(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Names (without parameters) of tests of which a case is unknown and none is broken."""
    found = _named(node for node, outcome in outcomes.items() if outcome is Outcome.UNKNOWN)
    return found - red(outcomes)


def _named(nodes: Iterable[str]) -> set[str]:
    return {node.split("[")[0] for node in nodes}
