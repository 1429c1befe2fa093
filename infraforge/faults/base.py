"""What a fault is: it is aimed, then strikes, and what ends it is data that outlives the process.

    Fault      what is to happen, in words that need no cluster: `Pause("redis-cache")`
    Aimed      the same with its target found and its undo known; nothing has happened yet
    Undo       what ends it: a kind and plain strings, so that another process can do it

The order lets the nemesis write the undo to disk before anything is broken. Faults never assert:
what they break is judged by others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from infraforge.components.site import Site


class Undo(Protocol):
    """Ends a fault. Safe to perform again, and when the fault never struck."""

    kind: ClassVar[str]

    @property
    def parameters(self) -> Mapping[str, str]:
        """All that `restored` needs to make this undo again."""

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Undo:
        """The undo that had these parameters; KeyError where one is missing."""

    def perform(self, site: Site) -> None:
        """Return once the fault is over. Raises Inconclusive when it cannot be ended."""


class Aimed(Protocol):
    """A fault with its target found.

    lasting: whether it goes on until it is undone (a pause does, a kill does not).
    """

    lasting: ClassVar[bool]

    @property
    def undo(self) -> Undo: ...

    def strike(self, site: Site) -> None:
        """Make it happen. Raises ClusterError when that cannot even be asked for."""

    def took_effect(self, site: Site) -> str:
        """What proves that it is in effect, in words; empty where nothing does (yet)."""


class Fault(Protocol):
    """Something that goes wrong with the platform."""

    def describe(self) -> str:
        """The fault in a few words, for reports."""

    def aim(self, site: Site) -> Aimed:
        """Find the target, changing nothing. Raises ClusterError where there is none."""
