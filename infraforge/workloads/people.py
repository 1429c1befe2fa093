"""People who sign in: the platform's own, and some created for one test and removed after it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import hvac
import requests

from infraforge.components import vault_identity
from infraforge.components.site import Site
from infraforge.components.user_store import user_store
from infraforge.components.vault_identity import Identities, User
from infraforge.errors import ClusterError, in_words
from infraforge.wait import seconds, wait_until

_FAILURES = (hvac.exceptions.VaultError, requests.RequestException, ClusterError)


@dataclass(frozen=True)
class Person:
    """A person, and the password that the platform gave them."""

    name: str
    email: str
    groups: tuple[str, ...]
    password: str = field(repr=False)

    @property
    def role(self) -> str:
        """The role that they should have; empty for none."""
        return self.groups[0] if self.groups else ""


class People:
    """Creates people where the platform keeps them, changes them, and removes those it created."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._users = user_store(site)
        self._made: list[str] = []

    def make(self, *groups: str, disabled: bool = False, called: str = "guest-{}") -> Person:
        """Create a person with a unique name in these groups; returns once Vault knows them.

        called: template of the name; `{}` becomes unique text, `{number}` unique digits.
        """
        own = uuid.uuid4()
        name = called.format(own.hex[:12], number=own.int % 10**12)
        # addresses are ASCII, whatever a name is
        user = User(name, f"guest-{own.hex[:12]}@infraforge.example", groups, disabled)
        self._made.append(name)  # before: what is created only halfway is removed as well
        password = vault_identity.new_password()
        try:
            self._users.put(user, password)
            vault = self._site.vault()
            wait_until(
                lambda: vault_identity.knows(vault, user),
                seconds(20),
                what=f"Vault knows {name}",
            )
        except _FAILURES as error:
            raise ClusterError(f"{name!r} cannot be created: {error}") from error
        return Person(name, user.email, groups, password)

    def known(self, name: str) -> Person:
        """One of the permanent people of `identity.toml`."""
        users = {user.name: user for user in Identities.load(self._site.tree).users}
        if name not in users:
            raise ClusterError(f"{name!r} is not one of {', '.join(users)}")
        user = users[name]
        return Person(name, user.email, user.groups, vault_identity.password(self._site, name))

    def disable(self, person: Person) -> None:
        """Let the person in nowhere from now on."""
        self._users.set_disabled(person.name, True)

    def regroup(self, person: Person, *groups: str) -> None:
        """Put the person into exactly these groups."""
        self._users.set_groups(person.name, groups)

    def remove(self, person: Person) -> None:
        """Remove the person before the test is over."""
        self._users.drop(person.name)

    def remove_all(self) -> None:
        """Remove everybody who was created; one failure does not keep the others."""
        failures = []
        while self._made:
            name = self._made.pop()
            try:
                self._users.drop(name)
            except Exception as error:  # noqa: BLE001 - told with all others
                failures.append(f"{name}: {in_words(error)}")
        if failures:
            raise ClusterError(f"these people could not be removed: {'; '.join(failures)}")
