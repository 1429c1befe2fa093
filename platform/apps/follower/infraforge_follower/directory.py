"""What the directory says of people and groups: read whole, over one verified connection."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ldap3
import ldap3.core.exceptions

from infraforge_follower.config import Config

LOCKED = b"000001010000Z"
"""In pwdAccountLockedTime: until somebody lets them in again (the draft of password policies)."""

_PAGE = 500
_SECONDS = 5
_FAILURES = (ldap3.core.exceptions.LDAPException, OSError)


class Silent(Exception):
    """The directory does not answer, or not with all there is."""


@dataclass(frozen=True)
class Person:
    """Somebody in the directory."""

    email: str
    disabled: bool


@dataclass(frozen=True)
class Said:
    """All of it at one time: name → person, group → names."""

    people: Mapping[str, Person]
    groups: Mapping[str, frozenset[str]]


class Directory:
    """Reads as an account that may do nothing else."""

    def __init__(self, config: Config) -> None:
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=config.ca_file)
        self._server = ldap3.Server(
            config.host,
            config.port,
            use_ssl=True,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=_SECONDS,
        )
        self._config = config
        self._connection: ldap3.Connection | None = None

    def read(self) -> Said:
        """Raises Silent."""
        base = self._config.base
        try:
            people = self._search(
                f"ou=people,{base}",
                "(&(objectClass=inetOrgPerson)(uid=*))",
                ["uid", "mail", "pwdAccountLockedTime"],
            )
            groups = self._search(
                f"ou=groups,{base}", "(objectClass=groupOfNames)", ["cn", "member"]
            )
        except _FAILURES as error:
            self._drop()
            raise Silent(f"{type(error).__name__}: {error}".splitlines()[0][:300]) from error
        return understood(people, groups)

    def _search(self, base: str, condition: str, attributes: list[str]) -> list[dict[str, Any]]:
        found = self._connected().extend.standard.paged_search(
            base, condition, attributes=attributes, paged_size=_PAGE, generator=False
        )
        return [entry for entry in found if entry["type"] == "searchResEntry"]

    def _connected(self) -> ldap3.Connection:
        if self._connection is None:
            self._connection = ldap3.Connection(
                self._server,
                self._config.account,
                self._config.password,
                auto_bind=True,
                read_only=True,
                raise_exceptions=True,
                receive_timeout=_SECONDS,
            )
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_FAILURES):  # it is gone either way
                connection.unbind()


def understood(people: Iterable[Mapping[str, Any]], groups: Iterable[Mapping[str, Any]]) -> Said:
    """What search results say. Whose name is there twice is let in nowhere: it is nobody's."""
    found: dict[str, Person] = {}
    names: dict[str, str] = {}
    for entry in people:
        raw = entry["raw_attributes"]
        name = raw["uid"][0].decode().lower()
        locked = LOCKED in raw.get("pwdAccountLockedTime", ())
        email = raw["mail"][0].decode() if raw.get("mail") else ""
        found[name] = Person(email, locked or name in found)
        names[entry["dn"].lower()] = name
    belongs: dict[str, frozenset[str]] = {}
    for entry in groups:
        raw = entry["raw_attributes"]
        members = (member.decode().lower() for member in raw.get("member", ()))
        belongs[raw["cn"][0].decode().lower()] = frozenset(
            names[member] for member in members if member in names
        )
    return Said(found, belongs)
