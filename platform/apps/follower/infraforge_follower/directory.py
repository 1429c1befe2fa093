"""Reads all people and groups from the directory, over one verified connection."""

from __future__ import annotations

import contextlib
import re
import ssl
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ldap3
import ldap3.core.exceptions
from infraforge_shared import people as names

from infraforge_follower.config import Config

LOCKED = b"000001010000Z"
"""In pwdAccountLockedTime: locked until an administrator unlocks (the password policy draft)."""

_PAGE = 500
_SECONDS = 5
_FAILURES = (ldap3.core.exceptions.LDAPException, OSError)
# the first `uid` in an entry's DN: Vault takes the person's name from there
_UID = re.compile(r"(?:^|(?<!\\)[,+]) *uid=((?:[^\\,+]|\\.)*)", re.IGNORECASE | re.DOTALL)
_HEX = re.compile(r"(?:\\[0-9a-fA-F]{2})+")
_BEYOND_ASCII = re.compile(r"(?:\\[89a-fA-F][0-9a-fA-F])+")


class Silent(Exception):
    """The directory does not answer, or not completely."""


@dataclass(frozen=True)
class Person:
    """A person in the directory. name: the name to show; empty if it is Vault's name for them."""

    email: str
    disabled: bool
    name: str = ""


@dataclass(frozen=True)
class Said:
    """The whole directory at one time. people: Vault's name at sign-in → person.

    groups: group → Vault's names of its members. unfit: how many entries are left out because
    nobody can sign in with their name (`people.name`).
    """

    people: Mapping[str, Person]
    groups: Mapping[str, frozenset[str]]
    unfit: int = 0


class Directory:
    """Reads the directory with an account that may only read."""

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
        """Read all people and groups. Raises Silent."""
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
    """Interpret search results. People who share a name are all disabled: the name is ambiguous.

    Names are also the same if they differ only in case or composition, or if Vault would take one
    for the other.
    """
    readable, unfit = [], 0
    for entry in people:
        own = _given(entry["dn"])
        try:
            shown = names.lower(names.name(own or entry["raw_attributes"]["uid"][0].decode()))
        except names.Unfit:
            unfit += 1
            continue
        # if the DN has no uid, Vault uses the same name as the login page
        readable.append((entry, names.lower(own) if own else shown, shown))
    calls = Counter(called for _, called, _ in readable)
    shows = Counter(shown for *_, shown in readable)
    found: dict[str, Person] = {}
    entries: dict[str, str] = {}
    taken: set[str] = set()
    for entry, called, shown in readable:
        if called in found or shown in taken:
            continue  # Vault has one person per name, and that one is disabled
        taken.add(shown)
        raw = entry["raw_attributes"]
        email = raw["mail"][0].decode() if raw.get("mail") else ""
        nobody = LOCKED in raw.get("pwdAccountLockedTime", ())
        nobody |= calls[called] > 1 or shows[shown] > 1
        found[called] = Person(email, nobody, "" if shown == called else shown)
        entries[_folded(entry["dn"])] = called
    belongs: dict[str, frozenset[str]] = {}
    for entry in groups:
        raw = entry["raw_attributes"]
        members = (_folded(member.decode()) for member in raw.get("member", ()))
        belongs[raw["cn"][0].decode().lower()] = frozenset(
            entries[member] for member in members if member in entries
        )
    return Said(found, belongs, unfit)


def _given(dn: str) -> str:
    """The `uid` in an entry's DN, unescaped; empty where it has none."""
    part = _UID.search(dn)
    if part is None:
        return ""
    return re.sub(r"\\(.)", r"\1", _decoded(_HEX, part[1]), flags=re.DOTALL)


def _folded(dn: str) -> str:
    """A DN normalised in case and composition; slapd writes everything else in one way."""
    return names.lower(unicodedata.normalize("NFC", _decoded(_BEYOND_ASCII, dn)))


def _decoded(escapes: re.Pattern[str], text: str) -> str:
    """The text with these escapes decoded as UTF-8."""
    return escapes.sub(
        lambda run: bytes.fromhex(run[0].replace("\\", "")).decode(errors="replace"), text
    )
