"""User names in a directory: which are valid, and how Vault lower-cases them. Pure.

Names follow RFC 8265's profile *UsernameCasePreserved* (the `precis-i18n` package). It converts
them to NFC, so that canonically equivalent names are equal, and makes full and half width equal. It
allows letters and digits of any script. It refuses control characters, invisible ones, those that
reverse the direction of text, and compatibility variants of other letters. Names that only look
alike stay different, as file names do.

ASCII characters and length are limited to what every hop accepts: a path at Vault, then a header.
The two joiners that the profile allows (U+200C, U+200D) are refused, because Vault answers a path
with one as a bad request (go-cleanhttp 0.5.2, `PrintablePathCheckHandler`: Go's `unicode.IsPrint`).
"""

from __future__ import annotations

import itertools
import re
import unicodedata

import precis_i18n

LENGTH = 64
_PROFILE = precis_i18n.get_profile("UsernameCasePreserved")
_ASCII = re.compile(r"[A-Za-z0-9._@'-]")
_HEAP = 30  # combining marks in a row: UAX #15, stream-safe text


class Unfit(ValueError):
    """The text is not a valid user name."""


def name(text: str) -> str:
    """The name in NFC, its case kept. Raises Unfit."""
    if len(text) > 4 * LENGTH:  # no letter decomposes into more code points
        raise Unfit(f"it has more than {LENGTH} characters")
    try:
        found: str = _PROFILE.enforce(text)
    except UnicodeEncodeError as error:
        raise Unfit("it is not a user name under RFC 8265") from error
    if len(found) > LENGTH:
        raise Unfit(f"it has more than {LENGTH} characters")
    if any(unicodedata.category(letter).startswith("C") for letter in found):
        raise Unfit("it contains an invisible character")
    if any(letter.isascii() and not _ASCII.fullmatch(letter) for letter in found):
        raise Unfit("it contains a character that names may not have")
    if not found[0].isalnum() or not (found[-1].isalnum() or _is_mark(found[-1])):
        raise Unfit("it does not begin and end with a letter or a digit")
    runs = (sum(1 for _ in run) for mark, run in itertools.groupby(found, _is_mark) if mark)
    if max(runs, default=0) > _HEAP:
        raise Unfit("it has too many combining marks in a row")
    return found


def lower(text: str) -> str:
    """The text in lower case as Vault has it: Go's strings.ToLower, code point by code point."""
    return "".join(letter.lower()[0] for letter in text)


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")
