"""Checkers: pure functions from a history (or a table) to a verdict, one property a file."""

from __future__ import annotations

from collections.abc import Callable

from infraforge.checkers import cells
from infraforge.checkers.acknowledged import acknowledged_writes_kept
from infraforge.checkers.cells import cells_match
from infraforge.checkers.ended import ended_sessions_stay_ended
from infraforge.checkers.fault import UnderFault, fault_took_effect, under_fault
from infraforge.checkers.monotonic import reads_are_monotonic
from infraforge.checkers.outages import RecoversWithin
from infraforge.checkers.phantom import no_phantom
from infraforge.checkers.recovery import recovery_is_explained
from infraforge.checkers.stale import no_stale_read
from infraforge.checkers.timelines import one_primary_at_a_time
from infraforge.checkers.unnoticed import no_request_failed
from infraforge.history import History
from infraforge.table import Table
from infraforge.verdict import Checker, Rule, Verdict, check

__all__ = [
    "RecoversWithin",
    "UnderFault",
    "acknowledged_writes_kept",
    "again",
    "cells_match",
    "ended_sessions_stay_ended",
    "fault_took_effect",
    "no_phantom",
    "no_request_failed",
    "no_stale_read",
    "of",
    "one_primary_at_a_time",
    "reads_are_monotonic",
    "recovery_is_explained",
    "under_fault",
]

_FUNCTIONS: dict[str, Checker] = {
    checker.__name__: checker
    for checker in (
        acknowledged_writes_kept,
        ended_sessions_stay_ended,
        fault_took_effect,
        no_phantom,
        no_request_failed,
        no_stale_read,
        one_primary_at_a_time,
        reads_are_monotonic,
        recovery_is_explained,
    )
}
_WITH_PARAMETERS: dict[str, Callable[..., Checker]] = {
    made.__name__: made for made in (RecoversWithin, UnderFault)
}
"""What judges histories: functions, and classes whose fields are their parameters."""


def of(rule: Rule) -> Checker:
    """The checker of histories that the rule names.

    Raises KeyError for one that is not ours, TypeError where its parameters do not fit.
    """
    if rule.name in _WITH_PARAMETERS:
        told = {k: of(value) if isinstance(value, Rule) else value for k, value in rule.parameters}
        return _WITH_PARAMETERS[rule.name](**told)
    if rule.parameters:
        raise TypeError(f"{rule.name} takes no parameters")
    return _FUNCTIONS[rule.name]


def again(
    rule: Rule, history: History | None = None, tables: tuple[Table, Table] | None = None
) -> Verdict:
    """What the rule's checker says of the kept history, or of the kept tables.

    Raises KeyError for a checker that is not ours, TypeError where what was kept does not fit it.
    """
    if rule.name == cells_match.__name__:
        if tables is None:
            raise TypeError("a comparison wants an observed and a declared table")
        return cells.again(*tables, **dict(rule.parameters))
    checker = of(rule)
    if history is None:
        raise TypeError(f"{rule.name} wants a history")
    return check(history, checker)
