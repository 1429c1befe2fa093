"""The picture of a failover says what the history says; its content is checked, not its pixels."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from infraforge import evidence
from infraforge.history import History
from infraforge.report import picture
from infraforge.selftests import failovers
from infraforge.selftests.test_checkers_failover import REAL
from infraforge.selftests.test_checkers_recovery import EVENTS, OUTAGE, STARVED, together


@pytest.fixture(scope="module")
def real() -> History:
    return History.from_lines(REAL.read_text())


def words(svg: bytes) -> list[str]:
    """What is written in the picture."""
    root = ET.fromstring(svg)  # noqa: S314 - our own
    return [text for item in root.iter() if (text := (item.text or "").strip())]


def test_a_real_failover_is_drawn_with_its_terms_and_roles(real: History) -> None:
    (svg,) = picture.failovers(real)
    written = words(svg)
    (row,) = picture.samples(real).rows
    rto = picture.samples(real)[row, "RTO, s"]
    assert f"no write acknowledged for {rto} s" in written
    assert any(f"RTO {rto} s" in text and "RPO 0 of 102" in text for text in written)
    for said in (
        *("pg-0", "pg-1", "pg-2", "killed pg-0"),
        *("primary, timeline 1", "primary, timeline 2", "standby, timeline 2", "no answer"),
        *("operation took, ms", "seconds since the fault was begun", "role of member"),
    ):
        assert said in written, said
    for term in ("detection", "election", "promotion", "routing", "reconnect"):
        seconds = picture.samples(real)[row, f"{term}, s"]
        assert f"{term} {seconds} s" in written
    assert any(text.startswith("nobody can tell (info): ") for text in written)


def test_the_same_history_gives_the_same_bytes(real: History) -> None:
    assert picture.failovers(real) == picture.failovers(real)


def test_one_picture_and_one_row_for_each_recovery() -> None:
    seen = failovers.sound(3, failovers=2)
    recovered = picture.samples(seen).rows
    assert len(picture.failovers(seen)) == len(recovered)
    assert picture.failovers(History()) == ()
    assert not picture.samples(History())


def test_what_is_not_known_is_not_drawn_as_known() -> None:
    """No final read: no count of what was lost. No events: no terms. A starved machine is said."""
    (svg,) = picture.failovers(OUTAGE)
    assert "nobody watched the members" in words(svg)
    assert any("RPO unknown (no final read)" in text for text in words(svg))
    ((row, _), *_) = picture.samples(OUTAGE)
    figures = picture.samples(OUTAGE)
    assert figures[row, "RTO, s"] == "2.010"
    for name in ("detection, s", "RPO, lost", "machine"):
        assert figures[row, name] is None
    starved = together(OUTAGE, EVENTS, STARVED)
    assert picture.samples(starved)[row, "machine"] == "cpu 0.99 is above 0.97"
    assert "machine starved: cpu 0.99 is above 0.97" in words(picture.failovers(starved)[0])


def test_it_is_kept_as_a_picture(real: History) -> None:
    (kept,) = evidence.attachments(picture.failovers(real)[0], "")
    assert (kept.kind, kept.ending) == ("image/svg+xml", "svg")


def test_matplotlib_is_imported_by_drawing_only() -> None:
    told = "import sys, infraforge.report.picture; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0
