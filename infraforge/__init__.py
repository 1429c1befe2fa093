"""InfraForge: conformance and chaos suites for a Kubernetes platform, and what they are made of.

The names below are the public API. They are imported when they are first used, so that
`import infraforge` costs nothing, and judging a recorded history needs neither a cluster nor
Kubernetes' client, pytest or Allure:

    from infraforge import History, check, checkers

    history = History.from_lines(Path("history.jsonl").read_text())
    verdict = check(history, checkers.no_stale_read)
    print(verdict.explain())

    History, Operation, Kind, Recorder    what clients did and saw, and how to record it
    Table                                 cells by row and column: who reaches what
    Verdict, Outcome                      holds, broken or unknown; unknown never passes
    check, merge, control                 judge a history; join verdicts; demand a test's control
    checkers                              one module for each property, see docs/checkers/
    Deadline, wait_until, wait_until_stable   wait for a fact within a budget
    Fault, Aimed, Undo                    protocols that a fault of your own implements
    Broken, Inconclusive, TimedOut        what is raised: a broken promise; nothing can be said

Everything else may change without notice.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infraforge import checkers
    from infraforge.errors import Broken, Inconclusive, TimedOut
    from infraforge.faults.base import Aimed, Fault, Undo
    from infraforge.history import History, Kind, Operation
    from infraforge.recorder import Recorder
    from infraforge.table import Table
    from infraforge.verdict import Outcome, Verdict, check, control, merge
    from infraforge.wait import Deadline, wait_until, wait_until_stable

__all__ = [
    "Aimed",
    "Broken",
    "Deadline",
    "Fault",
    "History",
    "Inconclusive",
    "Kind",
    "Operation",
    "Outcome",
    "Recorder",
    "Table",
    "TimedOut",
    "Undo",
    "Verdict",
    "check",
    "checkers",
    "control",
    "merge",
    "wait_until",
    "wait_until_stable",
]

_MODULES = {
    "errors": ("Broken", "Inconclusive", "TimedOut"),
    "faults.base": ("Aimed", "Fault", "Undo"),
    "history": ("History", "Kind", "Operation"),
    "recorder": ("Recorder",),
    "table": ("Table",),
    "verdict": ("Outcome", "Verdict", "check", "control", "merge"),
    "wait": ("Deadline", "wait_until", "wait_until_stable"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "checkers":
        return importlib.import_module("infraforge.checkers")
    if name not in _HOME:
        raise AttributeError(f"module 'infraforge' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"infraforge.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up finds it at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
