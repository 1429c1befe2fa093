"""What the undo of a fault of single members waits for in the end: all of them are well again."""

from __future__ import annotations

from collections.abc import Mapping

from infraforge.faults.groups import WholeGroup
from infraforge.faults.roles import AllStreaming

After = AllStreaming | WholeGroup
"""Of PostgreSQL's members, or of a Redis group's."""


def restored(parameters: Mapping[str, str]) -> After:
    """Which of them the journal means. Raises KeyError where a parameter is missing."""
    kind = WholeGroup if "group" in parameters else AllStreaming
    return kind.restored(parameters)
