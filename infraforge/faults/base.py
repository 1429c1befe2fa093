"""The protocols of a fault: it is aimed, then strikes; its undo is data that outlives the process.

    Fault      what should happen, without reference to a cluster: `Pause("redis-cache")`
    Aimed      the fault with its target and its undo; nothing has happened yet
    Undo       the rollback: a kind and plain strings, so that another process can perform it

This order lets the nemesis write the undo to disk before anything breaks. Faults never assert:
tests and checkers judge the consequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from infraforge.components.site import Site


class Undo(Protocol):
    """Ends a fault. Idempotent, and harmless when the fault never struck."""

    kind: ClassVar[str]

    @property
    def parameters(self) -> Mapping[str, str]:
        """Everything `restored` needs to rebuild this undo."""

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Undo:
        """Rebuild the undo from its parameters; KeyError where one is missing."""

    def perform(self, site: Site) -> None:
        """Return once the fault is over. Raises Inconclusive when it cannot be ended."""


class Aimed(Protocol):
    """A fault with its target.

    lasting: whether it lasts until it is undone (a pause does, a kill does not).
    """

    @property
    def lasting(self) -> bool: ...

    @property
    def undo(self) -> Undo: ...

    def strike(self, site: Site) -> None:
        """Make it happen. Raises ClusterError when the cluster does not accept the request."""

    def took_effect(self, site: Site) -> str:
        """The witness that it is in effect, in words; empty where there is none (yet)."""


class Fault(Protocol):
    """A failure to inject into the platform."""

    def describe(self) -> str:
        """The fault in a few words, for reports."""

    def aim(self, site: Site) -> Aimed:
        """Find the target, without any change. Raises ClusterError where there is none."""
