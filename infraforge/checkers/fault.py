"""A fault bit before its outcome is judged, and what was wrong before it is not its doing.

The nemesis records a fault as an operation: invoke when it is about to inject, ok once a probe has
proven the effect (the process is gone, the address does not answer), info or fail where it has not.
"""

from __future__ import annotations

from dataclasses import dataclass

from infraforge.history import Call, History
from infraforge.verdict import Checker, Outcome, Verdict, holds, name_of, unknown

NAME = "fault_took_effect"


def fault_took_effect(history: History) -> Verdict:
    """Every fault injected was proven, and there is one; never broken, for a fault that did not
    bite says nothing of the platform."""
    faults = history.faults
    if not faults:
        return unknown(NAME, "no fault was injected")
    unproven = [fault for fault in faults if not fault.ok]
    if unproven:
        told = ", ".join(fault.function for fault in unproven)
        evidence = [operation for fault in unproven for operation in fault.operations]
        return unknown(NAME, f"nothing proves that it took effect: {told}", *evidence)
    return holds(NAME, "proven: " + ", ".join(_told(fault) for fault in faults))


@dataclass(frozen=True)
class UnderFault:
    """`checker`, as a judge of what a fault did. Its verdict becomes unknown where

    - no fault was proven;
    - it holds, but no client's operation that began after the last fault succeeded;
    - it is broken, but was so before the first fault already;
    - it is broken, but a client's operation had failed or got no answer before the first fault:
      the platform was not well to begin with.
    """

    checker: Checker

    @property
    def name(self) -> str:
        return f"under_fault({name_of(self.checker)})"

    def __call__(self, history: History) -> Verdict:
        effect = fault_took_effect(history)
        if effect.outcome is not Outcome.HOLDS:
            return unknown(self.name, effect.explanation, *effect.evidence)
        verdict = self.checker(history)
        doubt = None
        if verdict.outcome is Outcome.HOLDS:
            doubt = self._nothing_after(history)
        elif verdict.outcome is Outcome.BROKEN:
            doubt = self._unwell_before(history)
        return verdict if doubt is None else doubt

    def _nothing_after(self, history: History) -> Verdict | None:
        last = history.faults[-1]
        if any(call.ok and last.precedes(call) for call in history.clients):
            return None
        return unknown(self.name, "no operation after the fault succeeded", *last.operations)

    def _unwell_before(self, history: History) -> Verdict | None:
        before = history.before(history.faults[0].start)
        verdict = self.checker(before)
        if verdict.outcome is Outcome.BROKEN:
            told = f"broken before the fault already: {verdict.explanation}"
            return unknown(self.name, told, *verdict.evidence)
        unwell = [call for call in before.clients if _went_wrong(call)]
        if unwell:
            evidence = [operation for call in unwell for operation in call.operations]
            told = f"{len(unwell)} operations went wrong before the fault"
            return unknown(self.name, told, *evidence)
        return None


def under_fault(checker: Checker) -> UnderFault:
    """`checker`, as a judge of what a fault did (see UnderFault)."""
    return UnderFault(checker)


def _went_wrong(call: Call) -> bool:
    """Completed, and not as ok; one still open when the fault came is none of that."""
    return call.completion is not None and not call.ok


def _told(fault: Call) -> str:
    return f"{fault.function} ({fault.value})" if fault.value is not None else fault.function
