"""What can be anybody's name where the people are kept: more in a directory than at Vault itself.

Vault's own method has the letters in its route (1.21.4, `framework.GenericNameRegex`), and can look
for nobody else: with any other name it answers 500, "failed to determine alias name from login
request", whoever asks. Its LDAP method takes what a path can hold.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from infraforge_shared import people

_AT_VAULT = re.compile(r"\w(?:[\w.-]{0,62}\w)?", re.ASCII)


class NoName(Exception):
    """What was given cannot be anybody's name here, whoever there is."""


@dataclass(frozen=True)
class Names:
    """The names of one method. told: what they are, in words, for whoever gave another."""

    told: str
    _read: Callable[[str], str]

    def read(self, text: str) -> str:
        """The name as it is asked for: equivalent ways to write it are one. Raises NoName."""
        try:
            return self._read(text)
        except ValueError as error:
            raise NoName from error


def of(auth_path: str) -> Names:
    """Those of Vault's method at this path, e.g. `auth/ldap`."""
    return _IN_A_DIRECTORY if auth_path.rpartition("/")[2] == "ldap" else _OF_VAULT


def same(text: str) -> str:
    """What all ways to write a name have in common, by case and composition; any text has it."""
    with contextlib.suppress(people.Unfit):
        text = people.name(text)
    return people.lower(text)


def _at_vault(text: str) -> str:
    if not _AT_VAULT.fullmatch(text):
        raise ValueError
    return text


_OF_VAULT = Names(
    "User names here have the letters a to z without accents, digits, and . _ - between them: "
    "64 at most. Names with other letters cannot exist on this platform, "
    "which keeps its people at Vault. Check how yours is written.",
    _at_vault,
)
_IN_A_DIRECTORY = Names(
    "User names here have letters, digits, and . _ @ ' - between them: 64 at most, "
    "and no blanks or signs that cannot be seen. Check how yours is written.",
    people.name,
)
