"""The pictures in the documentation are drawn from what is so, and show no secret."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

import pytest

from infraforge.checkers import no_stale_read
from infraforge.errors import InfraForgeError, UsageError
from infraforge.history import History
from infraforge.report import timeline
from infraforge.selftests import stale_read
from infraforge.selftests.histories import history
from infraforge.selftests.pages import ROOT, module
from infraforge.verdict import Outcome, check
from infraforge.workloads import dashboard

TAKE = module("docs/pictures/take.py")
STALE = module("docs/pictures/stale_read.py")


def test_the_pictures_of_histories_are_as_they_are_drawn_now() -> None:
    for name, fenced in STALE.PICTURES.items():
        kept = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
        assert STALE.picture(fenced) == kept, "run: python docs/pictures/stale_read.py"


def test_the_picture_shows_a_fault_that_the_fence_rules_out() -> None:
    outcomes = {
        fenced: check(stale_read.recorded(fenced=fenced), no_stale_read).outcome
        for fenced in (False, True)
    }
    assert outcomes == {False: Outcome.BROKEN, True: Outcome.HOLDS}


def drawn(text: str) -> str:
    recorded = history(text)
    return timeline.drawn(recorded, check(recorded, no_stale_read))


STALE_READ = """
    a       invoke write x "one"
    a       ok     write x [1,"one"]
    a       invoke write x "two"
    a       ok     write x [2,"two"]
    b       invoke read  x
    b       ok     read  x [1,"one"]
"""


def test_what_the_verdict_rests_on_is_red_and_nothing_else() -> None:
    red = timeline._MARKED[0]
    svg = drawn(STALE_READ)
    bars = re.findall(r'<rect x="\d+" [^>]*fill="(#\w+)".*?>([^<]+)</text>', svg)
    assert [label for fill, label in bars if fill == red] == ["write version 2", "read → version 1"]
    assert [label for fill, label in bars if fill != red] == ["write version 1"]
    assert "no_stale_read: broken." in svg


def test_what_nobody_can_tell_the_end_of_is_dashed_and_faults_have_a_lane() -> None:
    svg = drawn(
        """
        a       invoke write x "one"
        a       ok     write x [1,"one"]
        nemesis invoke pause -
        b       invoke read  x
        b       info   read  x
        nemesis ok     pause -
        """
    )
    assert svg.count("stroke-dasharray") == 1
    assert re.search(r"dasharray.*read \(no answer\)", svg)
    assert ">nemesis</text>" in svg
    assert "no_stale_read: unknown." in svg


def test_calls_that_overlap_in_the_history_overlap_in_the_picture() -> None:
    svg = drawn(
        """
        a invoke write x "one"
        b invoke read  x
        b ok     read  x null
        a ok     write x [1,"one"]
        """
    )
    spans = [
        (int(x), int(x) + int(width))
        for x, width in re.findall(r'<rect x="(\d+)" y="\d+" width="(\d+)"', svg)
    ]
    (writes, reads) = spans
    assert writes[0] < reads[0] < reads[1] < writes[1]


def test_what_a_history_holds_is_text_and_no_markup() -> None:
    svg = drawn('a<b invoke write x "<script>"')
    assert "<script>" not in svg
    ElementTree.fromstring(svg)  # noqa: S314  our own


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        timeline.drawn(History(), check(History(), no_stale_read))


class FakePage:
    """A page with some text; what its scripts were."""

    def __init__(self, text: str) -> None:
        self.text, self.scripts = text, list[str]()

    def script(self, source: str) -> object:
        self.scripts.append(source)
        return self.text if "innerText" in source else None

    def screenshot(self) -> bytes:
        self.scripts.append("screenshot")
        return b"\x89PNG"


def test_a_page_is_photographed_once_its_password_fields_are_empty() -> None:
    page = FakePage("Projects of ada")
    assert TAKE.masked(page, "projects", ["s3cret", "other"]) == b"\x89PNG"
    assert page.scripts == [TAKE._EMPTY_PASSWORDS, TAKE._ALL_TEXT, "screenshot"]


@pytest.mark.parametrize("passwords", [["s3cret"], ["other", "s3cret"], [], [""]])
def test_no_picture_shows_a_password(passwords: Collection[str]) -> None:
    page = FakePage("the password is s3cret")
    with pytest.raises(InfraForgeError) as refused:
        TAKE.masked(page, "projects", passwords)
    assert "s3cret" not in str(refused.value)
    assert "screenshot" not in page.scripts
    assert isinstance(refused.value, UsageError) == (not any(passwords))


def test_without_a_report_nothing_is_photographed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["take.py", "--report", str(tmp_path)])
    with pytest.raises(UsageError, match=r"index\.html is missing; run: infraforge report"):
        TAKE.main()


def test_every_page_that_is_to_be_photographed_exists() -> None:
    assert set(TAKE.PAGES) <= set(dashboard.views("some-id", "admin"))


def test_the_page_of_pictures_names_each_photograph() -> None:
    names = {f"dashboard-{name.replace(' ', '-')}" for name in TAKE.PAGES}
    names |= {"sign-in", "dashboard-dark", "report-index", "report-controls"}
    told = (ROOT / "docs" / "pictures.md").read_text()
    assert {name for name in names if f"`{name}`" not in told} == set()
