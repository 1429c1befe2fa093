"""Valid user names, by where people are kept: a directory allows more of them than Vault itself.

Vault's own method (userpass) has the allowed letters in its route (1.21.4,
`framework.GenericNameRegex`). To any other name it answers 500, "failed to determine alias name
from login request". Its LDAP method takes whatever a path can hold.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from infraforge_shared import people

_AT_VAULT = re.compile(r"\w(?:[\w.-]{0,62}\w)?", re.ASCII)


class NoName(Exception):
    """The text cannot be a user name here, whoever exists."""


@dataclass(frozen=True)
class Names:
    """The names of one method. told: the rule in words, shown to people who break it."""

    told: str
    _read: Callable[[str], str]

    def read(self, text: str) -> str:
        """The name to look up; equivalent spellings give one name. Raises NoName."""
        try:
            return self._read(text)
        except ValueError as error:
            raise NoName from error


def of(auth_path: str) -> Names:
    """The names of Vault's method at this path, e.g. `auth/ldap`."""
    return _IN_A_DIRECTORY if auth_path.rpartition("/")[2] == "ldap" else _OF_VAULT


def same(text: str) -> str:
    """One form for all spellings of a name in case and composition; takes any text."""
    with contextlib.suppress(people.Unfit):
        text = people.name(text)
    return people.lower(text)


def _at_vault(text: str) -> str:
    if not _AT_VAULT.fullmatch(text):
        raise ValueError
    return text


_OF_VAULT = Names(
    "User names here have the letters a to z without accents, digits, and . _ - between them: "
    "64 characters at most. Names with other letters cannot exist on this platform, "
    "because Vault itself keeps its users. Check how yours is written.",
    _at_vault,
)
_IN_A_DIRECTORY = Names(
    "User names here have letters, digits, and . _ @ ' - between them: 64 characters at most, "
    "and no blanks or invisible characters. Check how yours is written.",
    people.name,
)
