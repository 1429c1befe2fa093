"""The report's own parts: controls, bundle, page; no npm, no browser."""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infraforge import evidence, report
from infraforge.checkers import acknowledged_writes_kept, no_stale_read
from infraforge.errors import UsageError
from infraforge.report import allure, bundle, controls
from infraforge.report.controls import State
from infraforge.selftests.histories import history
from infraforge.table import Table
from infraforge.verdict import Outcome, check, merge

CROSSWALK = {"C1": {"framework": "F", "title": "<one>"}, "C2": {"framework": "F", "title": "two"}}
KEPT = history("a invoke add - 1\na ok add - 1\nr invoke read\nr ok read - [1]")
EMPTY = history("a invoke add - 1")


def _result(name: str, status: str, *ids: str) -> dict[str, Any]:
    labels = [{"name": "control", "value": name} for name in ids]
    return {"fullName": name, "status": status, "labels": labels}


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ([], State.NOT_ASSESSED),
        (["skipped"], State.NOT_ASSESSED),
        (["passed", "skipped"], State.HOLDS),
        (["passed", "broken"], State.UNKNOWN),
        (["passed", "broken", "failed"], State.BROKEN),
        (["unheard of"], State.NOT_ASSESSED),
    ],
)
def test_a_control_is_as_good_as_its_worst_test(statuses: list[str], state: State) -> None:
    results = [_result(f"t{at}", status, "C1") for at, status in enumerate(statuses)]
    first, second = controls.assess(results, CROSSWALK)
    assert first.state is state
    assert second.state is State.NOT_ASSESSED


def test_a_second_run_of_a_test_does_not_make_it_better() -> None:
    results = [_result("t", "failed", "C1"), _result("t", "passed", "C1")]
    assert controls.assess(results, CROSSWALK)[0].state is State.BROKEN


def test_the_page_of_controls_shows_all_and_escapes() -> None:
    page = controls.page(controls.assess([_result("t", "passed", "C1")], CROSSWALK))
    assert "&lt;one&gt;" in page
    assert "1 holds · 0 broken · 0 unknown · 1 not assessed" in page
    assert '<td class="not-assessed">not assessed</td>' in page


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results as a run leaves them: verdicts, and the histories they judged."""
    folder = tmp_path / "allure-results"
    folder.mkdir()
    values = [
        KEPT,
        EMPTY,
        check(KEPT, acknowledged_writes_kept),
        check(EMPTY, acknowledged_writes_kept, no_stale_read),
        merge(),
    ]
    for at, value in enumerate(values):
        for piece in evidence.attachments(value, ""):
            (folder / f"{at}-attachment.{piece.ending}").write_text(str(piece.body))
    return folder


def _verify(path: Path) -> int:
    parser = argparse.ArgumentParser()
    report.configure(parser.add_subparsers())
    options = parser.parse_args(["verify", str(path)])
    return int(options.run(options))


def test_a_bundle_gives_the_same_verdicts_again(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.pack([results], tmp_path / "b.zip")
    judged = bundle.judge(bundle.unpack(tmp_path / "b.zip"))
    assert [(one.kept, one.again) for one in judged] == [
        (Outcome.HOLDS, Outcome.HOLDS),
        (Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Outcome.UNKNOWN, None),
    ]
    assert _verify(tmp_path / "b.zip") == 0
    assert "0 damaged; 5 verdicts, 4 recomputed, 0 differ" in capsys.readouterr().out


def test_a_verdict_that_its_history_does_not_bear_out_is_told(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = results / "3-attachment.verdict.json"
    kept.write_text(kept.read_text().replace('"unknown"', '"holds"'))
    bundle.pack([results], tmp_path / "b.zip")
    assert _verify(tmp_path / "b.zip") == 1
    assert "2 differ" in capsys.readouterr().out


def test_what_was_changed_left_out_or_put_in_is_told(results: Path, tmp_path: Path) -> None:
    bundle.pack([results], tmp_path / "b.zip")
    files = dict(bundle.unpack(tmp_path / "b.zip"))
    assert bundle.damaged(files) == []
    del files["allure-results/0-attachment.jsonl"]
    files |= {"allure-results/1-attachment.jsonl": b"", "new": b""}
    assert bundle.damaged(files) == [
        "allure-results/0-attachment.jsonl is missing",
        "allure-results/1-attachment.jsonl was changed",
        "new is not in the manifest",
    ]
    assert bundle.judge(files)[0].again is None


def test_a_bundle_without_verdicts_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bundle.pack([tmp_path / "empty"], tmp_path / "b.zip")
    assert _verify(tmp_path / "b.zip") == 2


def test_tests_name_only_controls_of_the_crosswalk() -> None:
    root = evidence.REPORTS.parent
    files = [path for folder in ("suites", "chaos") for path in (root / folder).rglob("*.py")]
    marked = re.compile(r"\bmark\.control\((.*?)\)")
    marks = [mark for path in files for mark in marked.findall(path.read_text())]
    named = {name for mark in marks for name in re.findall(r'"([^"]+)"', mark)}
    assert named
    assert named - set(evidence.known_controls()) == set()


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no bundle"):
        bundle.unpack(tmp_path / "missing.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("x", "y")
    with pytest.raises(UsageError, match=r"has no MANIFEST\.sha256"):
        bundle.unpack(tmp_path / "other.zip")


def test_tables_are_evidence_that_needs_no_history() -> None:
    (kept,) = evidence.attachments(Table({("a", "b"): True}), "")
    assert "yes" in str(kept.body)


def test_no_results_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no test results"):
        report.generate(tmp_path / "none", tmp_path / "out")


def test_the_page_counts_no_visitors() -> None:
    counted = (
        '<head><script async src="https://x/gtag/js?id=1"></script>\n'
        "<script>function gtag(){}; gtag('js')</script><title>t</title></head><body>gtag(</body>"
    )
    assert allure.without_tracking(counted) == "<head><title>t</title></head><body>gtag(</body>"
    with pytest.raises(allure.ReportFailed):
        allure.without_tracking("<head><script>gtag('js')</script></head>")
