"""Where people are kept, as the profile says: in Vault itself, or in the directory it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from infraforge.components import directory, vault_identity
from infraforge.components.ldap import Ldap
from infraforge.components.site import Site
from infraforge.components.vault_identity import Identities, User


class UserStore(Protocol):
    """What an administrator does with people. Raises ClusterError or what Vault's client raises."""

    def put(self, user: User, password: str) -> None:
        """Make the person exactly as given."""

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable or enable the person: a disabled one is refused even with the right password."""

    def set_groups(self, name: str, groups: Sequence[str]) -> None:
        """Make the person a member of exactly these groups."""

    def drop(self, name: str) -> None:
        """Remove the person everywhere; no error if there is no such person."""


def user_store(site: Site) -> UserStore:
    """The one of this platform."""
    kinds: Mapping[str, Callable[[Site], UserStore]] = {"userpass": Userpass, "ldap": Directory}
    return kinds[site.profile.identity.method](site)


class Userpass:
    """Vault's own userpass: a change takes effect there at once."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def put(self, user: User, password: str) -> None:
        vault_identity.put_user(self._site, self._site.vault(), user, password)

    def set_disabled(self, name: str, disabled: bool) -> None:
        vault_identity.set_disabled(self._site.vault(), name, disabled)

    def set_groups(self, name: str, groups: Sequence[str]) -> None:
        vault_identity.set_groups(self._site, self._site.vault(), name, groups)

    def drop(self, name: str) -> None:
        vault_identity.drop_user(self._site, self._site.vault(), name)


class Directory:
    """Changes the directory and nothing else: the platform itself must bring it to Vault."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._groups = Identities.load(site.tree).groups

    def put(self, user: User, password: str) -> None:
        with Ldap().managed(self._site) as connection:
            directory.put_person(connection, user, password)
            directory.set_groups(connection, user.name, user.groups, self._groups)

    def set_disabled(self, name: str, disabled: bool) -> None:
        with Ldap().managed(self._site) as connection:
            directory.set_locked(connection, name, disabled)

    def set_groups(self, name: str, groups: Sequence[str]) -> None:
        with Ldap().managed(self._site) as connection:
            directory.set_groups(connection, name, groups, self._groups)

    def drop(self, name: str) -> None:
        with Ldap().managed(self._site) as connection:
            directory.drop_person(connection, name, self._groups)
