"""Valid names: a table of what people write, and of names that hide or deceive."""

from __future__ import annotations

import importlib
import time
import unicodedata
import uuid

import pytest

from infraforge.selftests import apps  # noqa: F401

names = importlib.import_module("infraforge_backend.names")
validation = importlib.import_module("infraforge_backend.validation")

TAKEN = {
    "Arabic with vowels": "مُحَمَّد",
    "Bengali with ZWJ": "র\u09cd\u200dযা",
    "braille with its blank": "⠓⠑\u2800⠇",
    "dots": "…",
    "emoji family": "👩\u200d👩\u200d👧",
    "emoji flag of England": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "emoji flag of regions": "🇩🇪",
    "emoji heart": "❤\ufe0f",
    "emoji keycap": "1\ufe0f\u20e3",
    "emoji mending heart": "❤\ufe0f\u200d🩹",
    "emoji of a skin tone": "👩🏽\u200d💻",
    "Greek": "ᾴ",
    "Hebrew with points": "שָׁלוֹם",
    "Hindi with ZWJ": "क्\u200dष",
    "Hindi with ZWNJ": "क्\u200cष",
    "ideograph of a variant": "葛\U000e0100",
    "Korean, in letters": "\u1112\u1161\u11ab",
    "Malayalam chillu": "അവന്\u200d",
    "Mongolian": "ᠭ\u180b",
    "no-break space": "a\u00a0b",
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Persian, two joining letters": "\u062e\u0627\u0646\u0647\u200c\u0627\u06cc",
    "Sinhala": "ශ්\u200dරී",
    "SQL": "'; DROP TABLE projects; --",
    "thirty marks": "a" + "\u0323" * 30,
    "Tibetan": "བོད",
    "Vietnamese": "Tiếng Việt",
}
REFUSED = {
    "half a surrogate pair": "\ud800",
    "a control": "a\x00b",
    "a control of C1": "a\x85b",
    "Arabic letter mark": "\u061c",
    "Braille blank, alone": "\u2800",
    "Braille blank, elsewhere": "a\u2800b",
    "byte order mark": "\ufeff",
    "combining grapheme joiner": "a\u034fb",
    "digit as emoji, without a cap": "1\ufe0f",
    "Hangul filler": "\u3164",
    "Hangul filler, half": "\uffa0",
    "Hangul choseong filler": "\u115f",
    "Hangul jungseong filler": "a\u1160",
    "hidden ASCII": "a\U000e0041\U000e0042",
    "hidden ASCII in a flag": "🏴\U000e0041\U000e0042\U000e007f",
    "interlinear annotation": "a\ufff9b",
    "invisible times": "a\u2062b",
    "isolate": "a\u2067b\u2069",
    "Khmer inherent vowel": "a\u17b4",
    "left-to-right mark": "a\u200eb",
    "line separator": "a\u2028b",
    "mark at the start": "\u0301a",
    "mark on a space": "a \u0301",
    "marks alone": "\u0301\u0302",
    "many marks": "a" + "\u0323" * 32,
    "Mongolian vowel separator": "a\u180eb",
    "musical null": "\U0001d159",
    "no character": "\U0010ffff",
    "not assigned": "\u0378",
    "object replacement": "a\ufffcb",
    "override": "\u202egnp.exe",
    "private use": "\ue000",
    "right-to-left mark": "a\u200fb",
    "soft hyphen": "a\u00adb",
    "two joiners": "क्\u200d\u200dष",
    "two variation selectors": "❤\ufe0f\ufe0f",
    "variation selector, alone": "\ufe0f",
    "variation selector on a letter": "a\ufe0f",
    "variation selector of ideographs on a letter": "a\U000e0100",
    "white space": " \u2003\u3000",
    "word joiner": "a\u2060b",
    "ZWJ after an emoji": "👩\u200d",
    "ZWJ between Latin letters": "a\u200db",
    "ZWJ between Arabic letters": "م\u200dخ",
    "ZWNJ at the end": "می\u200c",
    "ZWNJ between Latin letters": "a\u200cb",
    "ZWNJ where nothing joins": "\u0627\u200c\u0628",
    "ZWSP": "\u200b",
}


@pytest.mark.parametrize("name", TAKEN.values(), ids=TAKEN.keys())
def test_ordinary_names_are_accepted(name: str) -> None:
    assert names.read(name) == unicodedata.normalize("NFC", name)
    assert validation.project({"name": name}).name == validation.new_file_name(name)


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED.keys())
def test_hiding_or_deceiving_names_are_refused(name: str) -> None:
    with pytest.raises(names.Unfit):
        names.read(name)
    with pytest.raises(validation.Invalid):
        validation.new_file_name(name)
    with pytest.raises(validation.Invalid):
        validation.project({"name": name})


def test_nothing_ignorable_is_a_name_alone_or_between_letters() -> None:
    """Every code point that Unicode calls Default_Ignorable, a format or a Bidi_Control."""
    regex = importlib.import_module("regex")
    odd = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Bidi_Control}\p{Cn}\p{Co}]")
    ignorable = [chr(n) for n in range(0x110000) if not 0xD800 <= n < 0xE000 and odd.match(chr(n))]
    assert len(ignorable) > 4000
    for each in [*ignorable[:6000], *ignorable[6000::997]]:
        for text in (each, f"a{each}b"):
            with pytest.raises(names.Unfit):
                names.read(text)


def test_canonically_equivalent_names_are_one() -> None:
    assert names.read("cafe\u0301") == names.read("caf\u00e9")
    assert names.read("\u212b") == names.read("\u00c5")
    assert names.read("caf\u0435") != names.read("cafe")


@pytest.mark.parametrize(
    "text", ["a\u200fb", "a\u061cb", "a\u202eb", "a\u2028b", "a\x07", "\U0010ffff"]
)
def test_prose_cannot_reverse_text_direction(text: str) -> None:
    with pytest.raises(validation.Invalid):
        validation.project({"name": "a", "description": text})
    kept = "two\nlines\twith 👩\u200d💻 and a\u00adhyphen"
    assert validation.project({"name": "a", "description": kept}).description == kept


def test_checking_any_name_is_fast() -> None:
    began = time.process_time()
    for text in (
        "م" + "\u064b" * 60_000 + "\u200c",
        "👩\u200d" * 20_000,
        "\u0915\u094d\u200d" * 20_000,
        "a" + "\u0301" * 60_000,
    ):
        try:
            names.read(text)
        except names.Unfit:
            continue
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "key",
    [
        "\u0663" * 32,
        "{00000000-0000-4000-8000-000000000001}",
        "urn:uuid:" + "0" * 32,
        "0" * 32,
        7,
        "",
    ],
)
def test_an_id_is_a_uuid_in_its_usual_form(key: object) -> None:
    with pytest.raises(validation.Invalid):
        validation.identifier(key)
    made = uuid.uuid4()
    assert validation.identifier(str(made).upper()) == made
