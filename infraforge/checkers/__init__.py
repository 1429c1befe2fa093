"""Checkers: pure functions from a history (or a table) to a verdict, one property a file."""

from __future__ import annotations

from infraforge.checkers.acknowledged import acknowledged_writes_kept
from infraforge.checkers.cells import cells_match
from infraforge.checkers.fault import UnderFault, fault_took_effect, under_fault
from infraforge.checkers.monotonic import reads_are_monotonic
from infraforge.checkers.stale import no_stale_read
from infraforge.checkers.unnoticed import no_request_failed
from infraforge.verdict import Checker

__all__ = [
    "UnderFault",
    "acknowledged_writes_kept",
    "cells_match",
    "fault_took_effect",
    "named",
    "no_request_failed",
    "no_stale_read",
    "reads_are_monotonic",
    "under_fault",
]

_NAMED: dict[str, Checker] = {
    "acknowledged_writes_kept": acknowledged_writes_kept,
    "fault_took_effect": fault_took_effect,
    "no_request_failed": no_request_failed,
    "no_stale_read": no_stale_read,
    "reads_are_monotonic": reads_are_monotonic,
}


def named(name: str) -> Checker:
    """The history checker of that name, to judge a kept history again. Raises KeyError."""
    if name.startswith("under_fault(") and name.endswith(")"):
        return under_fault(named(name.removeprefix("under_fault(")[:-1]))
    return _NAMED[name]
