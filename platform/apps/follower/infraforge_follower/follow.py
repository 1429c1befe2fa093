"""Applies the directory's differences to Vault, and nothing else.

Vault's external groups learn of a change only when the person next signs in, and nothing else can
change their members. Somebody who is demoted at noon would keep the old role for as long as their
session lasts. So the groups are internal groups of Vault, and this program writes their members.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from infraforge_follower.directory import Person, Said

log = logging.getLogger(__name__)


class Doubtful(Exception):
    """The directory's answer is more likely a mistake than the truth."""


class Listener(Protocol):
    """The part of Vault's API that the follower uses."""

    def people(self) -> dict[str, str]: ...
    def read(self, path: str) -> Mapping[str, Any] | None: ...
    def write(self, path: str, values: Mapping[str, Any]) -> None: ...
    def delete(self, path: str) -> None: ...


class Follower:
    """Remembers what it last wrote to Vault, and writes the differences.

    read: reads the directory; verify: seconds between full comparisons with Vault.
    """

    def __init__(
        self,
        read: Callable[[], Said],
        vault: Listener,
        groups: tuple[str, ...],
        accessor: str,
        *,
        verify: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._vault = vault
        self._groups = groups
        self._accessor = accessor
        self._verify = verify
        self._clock = clock
        self._told: Said | None = None
        self._verified = float("-inf")

    def round(self) -> int:
        """Read the directory once and write the differences to Vault. Returns how many.

        Raises what `read` and Vault raise, and Doubtful. After a failed write the next round
        compares everything.
        """
        said = self._read()
        if not said.people:
            raise Doubtful("the directory lists no people")
        if not any(said.groups.get(group) for group in self._groups):
            raise Doubtful("the directory lists nobody in any group")
        if self._clock() - self._verified >= self._verify:
            self._told = None
        if said == self._told:
            return 0
        if said.unfit:
            log.warning("names that nobody can sign in with", extra={"entries": said.unfit})
        before, self._told = self._told, None
        changes = self._tell(said, before)
        if before is None:
            self._verified = self._clock()
        self._told = said
        return changes

    def _tell(self, said: Said, before: Said | None) -> int:
        changes = 0
        known = self._vault.people()
        for name in known.keys() - said.people.keys():
            self._vault.delete(f"identity/entity/id/{known.pop(name)}")
            changes += 1
        for name, person in said.people.items():
            if name not in known:
                known[name] = self._introduce(name, person)
                changes += 1
            elif before is None or before.people.get(name) != person:
                changes += self._correct(known[name], name, person)
        for group in self._groups:
            changes += self._fill(group, {known[name] for name in said.groups.get(group, ())})
        return changes

    def _introduce(self, name: str, person: Person) -> str:
        path = f"identity/entity/name/{person.name or name}"
        self._vault.write(path, {"metadata": {"email": person.email}, "disabled": person.disabled})
        entity = self._vault.read(path)
        if entity is None:
            raise Doubtful("Vault does not have the person that was just written")
        alias = {
            "name": name,
            "canonical_id": entity["id"],
            "mount_accessor": self._accessor,
        }
        self._vault.write("identity/entity-alias", alias)
        return str(entity["id"])

    def _correct(self, key: str, name: str, person: Person) -> int:
        """Also covers people who signed in before they were written: Vault named them itself."""
        path = f"identity/entity/id/{key}"
        wanted = {
            "name": person.name or name,
            "metadata": {"email": person.email},
            "disabled": person.disabled,
        }
        entity = self._vault.read(path) or {}
        if {field: entity.get(field) for field in wanted} == wanted:
            return 0
        self._vault.write(path, wanted)
        return 1

    def _fill(self, group: str, wanted: set[str]) -> int:
        path = f"identity/group/name/{group}"
        found = self._vault.read(path) or {}
        if set(found.get("member_entity_ids") or ()) == wanted:
            return 0
        self._vault.write(path, {"member_entity_ids": sorted(wanted)})
        return 1
