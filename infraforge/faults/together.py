"""Several faults as one, aimed before the first one strikes; and one that nobody waits for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from infraforge import faults
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive, in_words
from infraforge.faults.after import After
from infraforge.faults.base import Aimed, Fault, Undo

_NESTED = ("after", "back")
"""Under which names an undo keeps what it waits for."""


@dataclass(frozen=True)
class Together:
    """These at once: two members, say, of which the second must be found before the first falls."""

    faults: tuple[Fault, ...]

    def describe(self) -> str:
        return " and ".join(fault.describe() for fault in self.faults)

    def aim(self, site: Site) -> All:
        return All(tuple(fault.aim(site) for fault in self.faults))


@dataclass(frozen=True)
class Unawaited:
    """The same fault, whose undo does not wait until all members are well.

    For a test whose claim it is that they do: its own wait says *broken* where they do not.
    """

    fault: Fault

    def describe(self) -> str:
        return self.fault.describe()

    def aim(self, site: Site) -> Leaving:
        return Leaving(self.fault.aim(site))


@dataclass(frozen=True)
class Leaving:
    """An aimed fault whose undo returns at once."""

    aimed: Aimed

    @property
    def lasting(self) -> bool:
        return self.aimed.lasting

    @property
    def undo(self) -> Undo:
        hurried: Undo = _at_once(self.aimed.undo)
        return hurried

    def strike(self, site: Site) -> None:
        self.aimed.strike(site)

    def took_effect(self, site: Site) -> str:
        return self.aimed.took_effect(site)


@dataclass(frozen=True)
class All:
    """Several aimed faults."""

    aimed: tuple[Aimed, ...]

    @property
    def lasting(self) -> bool:
        return any(one.lasting for one in self.aimed)

    @property
    def undo(self) -> UndoAll:
        """What is broken is put right first, and waited for once all of it is."""
        undos = tuple(one.undo for one in self.aimed)
        return UndoAll((*_waits(undos), *(_at_once(undo) for undo in undos)))

    def strike(self, site: Site) -> None:
        for one in self.aimed:
            one.strike(site)

    def took_effect(self, site: Site) -> str:
        proofs = [one.took_effect(site) for one in self.aimed]
        return "; ".join(proofs) if all(proofs) else ""


@dataclass(frozen=True)
class UndoAll:
    """Undo each, the last one first. All are tried before one that fails is told."""

    kind: ClassVar[str] = "together"
    undos: tuple[Undo, ...]

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"undos": json.dumps([[one.kind, dict(one.parameters)] for one in self.undos])}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> UndoAll:
        found: Sequence[tuple[str, Mapping[str, str]]] = json.loads(parameters["undos"])
        return cls(tuple(faults.UNDOS[kind].restored(data) for kind, data in found))

    def perform(self, site: Site) -> None:
        failed: list[str] = []
        for one in reversed(self.undos):
            try:
                one.perform(site)
            except Inconclusive as error:
                failed.append(in_words(error))
        if failed:
            raise ClusterError("; ".join(failed))


def _waits(undos: Sequence[Undo]) -> tuple[After, ...]:
    """What they wait for in the end, each once."""
    found = [value for undo in undos for value in _walk(undo) if isinstance(value, After)]
    return tuple(dict.fromkeys(found))


def _walk(value: Any) -> Iterator[Any]:
    yield value
    for name in _NESTED:
        if hasattr(value, name):
            yield from _walk(getattr(value, name))


def _at_once(value: Any) -> Any:
    """The same undo, which returns without waiting for the members."""
    if isinstance(value, After):
        return value.not_awaited()
    inner = {name: _at_once(getattr(value, name)) for name in _NESTED if hasattr(value, name)}
    return dataclasses.replace(value, **inner) if inner else value
