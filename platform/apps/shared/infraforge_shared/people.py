"""What somebody in a directory can be called, and what Vault makes of it. Pure.

The letters are those of RFC 8265's profile *UsernameCasePreserved* (the `precis-i18n` package):
NFC, so that canonically equivalent names are one; letters and digits of any script; nothing that is
a control, not to be seen, turns text round, or is another way to write another letter. Full and
half width are one. Names that only look alike are different ones, as with files.

Of ASCII, and in length, it takes what all on the way take: a path at Vault, a header behind it. And
the two joiners that the profile knows (U+200C, U+200D) are left out: Vault answers a path with one
as a bad request (go-cleanhttp 0.5.2, `PrintablePathCheckHandler`: Go's `unicode.IsPrint`).
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
    """The text can be nobody's name."""


def name(text: str) -> str:
    """The name in NFC, its case as it was given. Raises Unfit."""
    if len(text) > 4 * LENGTH:  # no composed letter is more code points apart
        raise Unfit(f"it has more than {LENGTH} characters")
    try:
        found: str = _PROFILE.enforce(text)
    except UnicodeEncodeError as error:
        raise Unfit("it is no user name by RFC 8265") from error
    if len(found) > LENGTH:
        raise Unfit(f"it has more than {LENGTH} characters")
    if any(unicodedata.category(letter).startswith("C") for letter in found):
        raise Unfit("it holds a sign that is not to be seen")
    if any(letter.isascii() and not _ASCII.fullmatch(letter) for letter in found):
        raise Unfit("it holds a sign that no name has")
    if not found[0].isalnum() or not (found[-1].isalnum() or _is_mark(found[-1])):
        raise Unfit("it does not begin and end with a letter or a digit")
    runs = (sum(1 for _ in run) for mark, run in itertools.groupby(found, _is_mark) if mark)
    if max(runs, default=0) > _HEAP:
        raise Unfit("it has too many combining marks in a row")
    return found


def lower(text: str) -> str:
    """In small letters as Vault does it: Go's strings.ToLower, each code point by itself."""
    return "".join(letter.lower()[0] for letter in text)


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")
