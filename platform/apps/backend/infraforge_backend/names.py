"""What can be a name, by Unicode's own properties (the `regex` package's tables). Pure.

A name is put into NFC first, so that canonically equivalent names are one. Then it is refused if

- it holds a control, surrogate, private, unassigned, separating or format code point, or one that
  is Default_Ignorable: such are drawn as nothing, or turn the text round (Bidi_Control);
- it holds a blank that no property tells: U+2800 outside of braille, U+1D159, U+16FE4, U+FFFC;
- nothing of it is to be seen: white space and marks alone;
- a combining mark has nothing to combine with, or there are more than 30 in a row
  (UAX #15, stream-safe text).

Of what is ignorable this much is taken, where a script needs it:

- U+200C between joining letters or after a virama, U+200D after a virama (RFC 5892, A.1 and A.2);
- in emoji: U+200D between two, a variation selector after one, `1 U+FE0F U+20E3`, and the three
  flags that are spelt with tags;
- variation selectors after an ideograph (UTS #37), Mongolian ones after a Mongolian letter.
"""

from __future__ import annotations

import unicodedata

import regex

_NEVER = r"\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}"
_REFUSED = regex.compile(rf"[{_NEVER}\U0001d159\U00016fe4\ufffc]")
_BRAILLE_BLANK = "\u2800"
_BRAILLE = regex.compile(r"[\u2801-\u28ff]")
_TRANSPARENT = r"\p{Joining_Type=Transparent}"
_PICTURE = r"\p{Extended_Pictographic}[\ufe0e\ufe0f]?\p{Emoji_Modifier}?"
_IN_CONTEXT = regex.compile(
    rf"""
    (?<=[\p{{Joining_Type=Left_Joining}}\p{{Joining_Type=Dual_Joining}}]{_TRANSPARENT}*)
      \u200c (?={_TRANSPARENT}*[\p{{Joining_Type=Right_Joining}}\p{{Joining_Type=Dual_Joining}}])
    | (?<=\p{{Canonical_Combining_Class=Virama}}) [\u200c\u200d]
    | (?<={_PICTURE}) \u200d (?=\p{{Extended_Pictographic}})
    | (?<=\p{{Extended_Pictographic}}) [\ufe0e\ufe0f]
    | (?<=[0-9\#*]) \ufe0f (?=\u20e3)
    | (?<=\U0001f3f4) \U000e0067\U000e0062
      (?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)
      \U000e007f
    | (?<=\p{{Unified_Ideograph}}) [\ufe00-\ufe02\U000e0100-\U000e01ef]
    | (?<=\p{{Script=Mongolian}}) [\u180b-\u180d\u180f]
    """,
    regex.VERBOSE,
)
_SEEN = regex.compile(r"[\p{L}\p{N}\p{P}\p{S}--\u2800]", regex.V1)
_LONE_MARK = regex.compile(r"(?:\A|\p{Z})\p{M}")
_HEAP = regex.compile(r"\p{M}{31}")
_TEXT = regex.compile(r"[\p{Cc}\p{Cs}\p{Cn}\p{Zl}\p{Zp}\p{Bidi_Control}--[\n\t\r]]", regex.V1)


class Unfit(ValueError):
    """The text cannot be a name; says why, as the end of a sentence that begins with what it is."""


def read(text: str) -> str:
    """The name in NFC. Raises Unfit."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unfit("is not Unicode text: it holds half of a surrogate pair") from error
    name = unicodedata.normalize("NFC", text)
    refused = _REFUSED.search(_IN_CONTEXT.sub("", name))
    if refused:
        raise Unfit(f"holds U+{ord(refused[0]):04X}, which is not to be seen or turns text round")
    if _BRAILLE_BLANK in name and not _BRAILLE.search(name):
        raise Unfit("holds U+2800, which is not to be seen")
    if _LONE_MARK.search(name):
        raise Unfit("has a combining mark with nothing to combine with")
    if _HEAP.search(name):
        raise Unfit("has more than 30 combining marks in a row")
    if not _SEEN.search(name):
        raise Unfit("has nothing in it that can be seen")
    return name


def unfit_for_text(text: str) -> str:
    """The first character that no text may hold, prose over several lines included; or empty."""
    found = _TEXT.search(text)
    return found[0] if found else ""
