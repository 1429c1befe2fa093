"""The result of a whole run: from each test's outcome to one exit code. Pure.

    0  everything holds      1  something is broken      2  unknown
    3  holds, except for required tests that this cluster cannot run

Broken beats unknown beats holds. A run is unknown if nothing ran, or a case of a required test did
not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from infraforge.errors import Broken, Inconclusive
from infraforge.verdict import Outcome

_NAMED = 5
WORSE = (Outcome.SKIPPED, Outcome.HOLDS, Outcome.UNKNOWN, Outcome.BROKEN)
"""From best to worst; of several the worst counts."""


def of_failure(error: BaseException | None, phase: str, *, own: bool = True) -> Outcome:
    """What a failed phase (`setup`, `call`, `teardown`) says about the platform.

    Only an assertion of the test itself means broken. Any other error, even an assertion inside a
    library or the harness, and any error before or after the test proper, says nothing about the
    property: unknown. own: whether the test itself raised the error, and not something it called.
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
    """The outcomes of a run by node id, all cases that exist, and those impossible here."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    cases: set[str] = field(default_factory=set)
    """Node ids of all cases, including those that were not selected."""
    unable: set[str] = field(default_factory=set)
    """Cases that need an ability which this kind of cluster lacks."""
    partly: set[str] = field(default_factory=set)
    """Cases of which a part was skipped."""

    def take(self, node_id: str, outcome: Outcome) -> None:
        """Record the outcome of one phase; a test's worst phase counts."""
        old = self.outcomes.get(node_id, Outcome.SKIPPED)
        self.outcomes[node_id] = max(old, outcome, key=WORSE.index)

    def count(self, outcome: Outcome) -> int:
        return sum(1 for value in self.outcomes.values() if value is outcome)

    def missing(self, required: Sequence[str]) -> list[str]:
        """Required tests that did not run at all, and single cases of others that did not.

        Cases that this cluster cannot run are not among them.
        """
        owing: list[str] = []
        for name in dict.fromkeys(required):
            cases = self._cases(name)
            silent = [case for case in cases if not self._ran(case)]
            owed = [case for case in silent if case not in self.unable]
            none_ran = len(silent) == len(cases) == len(owed)
            owing += [name] if none_ran else sorted(owed)
        return owing

    def not_here(self, required: Sequence[str]) -> list[str]:
        """Required cases that this cluster cannot run."""
        cases = {case for name in required for case in self._cases(name)}
        return sorted(case for case in cases & self.unable if not self._ran(case))

    def exit_code(self, required: Sequence[str]) -> int:
        if self.count(Outcome.BROKEN):
            return 1
        if self.count(Outcome.UNKNOWN) or self.missing(required) or not self.count(Outcome.HOLDS):
            return 2
        return 3 if self.not_here(required) else 0

    def concluded(self, of_pytest: int, required: Sequence[str]) -> int:
        """The exit code for the platform, given pytest's own.

        A run that was cut short (2, 3), or had no test (5), is never better than unknown.
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
        result = self.outcomes.get(case, Outcome.SKIPPED)
        return result is not Outcome.SKIPPED and case not in self.partly

    def _cases(self, name: str) -> list[str]:
        """All cases of a test; for a case, itself."""
        known = self.cases | self.outcomes.keys()
        return sorted(case for case in known if name in (case, case.split("[")[0]))


def red(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Tests, without parameters, that have a broken case."""
    return _named(node for node, outcome in outcomes.items() if outcome is Outcome.BROKEN)


def unknown(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Tests, without parameters, that have an unknown case and no broken one."""
    names = _named(node for node, outcome in outcomes.items() if outcome is Outcome.UNKNOWN)
    return names - red(outcomes)


def _named(nodes: Iterable[str]) -> set[str]:
    return {node.split("[")[0] for node in nodes}
