"""What the directory says of people and groups: read whole, over one verified connection."""

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
"""In pwdAccountLockedTime: until somebody lets them in again (the draft of password policies)."""

_PAGE = 500
_SECONDS = 5
_FAILURES = (ldap3.core.exceptions.LDAPException, OSError)
# the first `uid` in an entry's DN: Vault takes from there what it calls somebody
_UID = re.compile(r"(?:^|(?<!\\)[,+]) *uid=((?:[^\\,+]|\\.)*)", re.IGNORECASE | re.DOTALL)
_HEX = re.compile(r"(?:\\[0-9a-fA-F]{2})+")
_BEYOND_ASCII = re.compile(r"(?:\\[89a-fA-F][0-9a-fA-F])+")


class Silent(Exception):
    """The directory does not answer, or not with all there is."""


@dataclass(frozen=True)
class Person:
    """Somebody in the directory. name: what they are shown as; empty: what Vault calls them."""

    email: str
    disabled: bool
    name: str = ""


@dataclass(frozen=True)
class Said:
    """All of it at one time: what Vault calls them at sign-in → person, group → the same.

    unfit: how many entries have a name that nobody can sign in by (`people.name`); they are left
    out.
    """

    people: Mapping[str, Person]
    groups: Mapping[str, frozenset[str]]
    unfit: int = 0


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
    """What search results say. Whose name is there twice is let in nowhere: it is nobody's.

    Twice it is also where the two are written in another case or composition, or where Vault would
    take one for the other.
    """
    readable, unfit = [], 0
    for entry in people:
        own = _given(entry["dn"])
        try:
            shown = names.lower(names.name(own or entry["raw_attributes"]["uid"][0].decode()))
        except names.Unfit:
            unfit += 1
            continue
        # who is named by another attribute Vault calls as the login page does
        readable.append((entry, names.lower(own) if own else shown, shown))
    calls = Counter(called for _, called, _ in readable)
    shows = Counter(shown for *_, shown in readable)
    found: dict[str, Person] = {}
    entries: dict[str, str] = {}
    taken: set[str] = set()
    for entry, called, shown in readable:
        if called in found or shown in taken:
            continue  # Vault has one of a name, and that one is disabled
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
    """The `uid` in an entry's DN, written out; empty where it has none."""
    part = _UID.search(dn)
    if part is None:
        return ""
    return re.sub(r"\\(.)", r"\1", _decoded(_HEX, part[1]), flags=re.DOTALL)


def _folded(dn: str) -> str:
    """A DN as one text, whatever its case and composition; slapd writes all else in one way."""
    return names.lower(unicodedata.normalize("NFC", _decoded(_BEYOND_ASCII, dn)))


def _decoded(escapes: re.Pattern[str], text: str) -> str:
    """The text with these escapes of UTF-8 written out."""
    return escapes.sub(
        lambda run: bytes.fromhex(run[0].replace("\\", "")).decode(errors="replace"), text
    )
