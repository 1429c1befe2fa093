"""`infraforge demo`: three outcomes by the real checkers, a picture, a bundle that holds or not."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from infraforge import demo
from infraforge.demo import command, drawing, evidence_bundle, lessons
from infraforge.errors import Inconclusive, UsageError
from infraforge.history import History
from infraforge.report import container, verify
from infraforge.selftests import stale_read
from infraforge.selftests.histories import history
from infraforge.verdict import Outcome, broken, check

ROOT = Path(__file__).parents[2]
FILES = ["evidence-flipped.zip", "evidence.zip", "timeline.html", "timeline.svg"]


def run(out: Path) -> int:
    return command.run(argparse.Namespace(out=out))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_the_recordings_are_judged_as_they_are_told() -> None:
    told = {lesson.title: (lesson.teaches, lesson.verdict()) for lesson in lessons.load()}
    assert [teaches for teaches, _ in told.values()] == [
        Outcome.HOLDS,
        Outcome.BROKEN,
        Outcome.UNKNOWN,
    ]
    for title, (teaches, verdict) in told.items():
        assert verdict.outcome is teaches, (title, verdict.explain())


def test_the_fault_of_the_first_recording_is_proven_and_that_of_the_last_is_not() -> None:
    first, _, last = lessons.load()
    assert [fault.ok for fault in first.history.faults] == [True]
    assert [fault.ok for fault in last.history.faults] == [False]
    assert first.history.operations[: len(last.history)] == last.history.operations


def test_the_broken_recording_is_recorded_again_by_the_applications_own_code() -> None:
    (broken_one,) = (each for each in lessons.load() if each.teaches is Outcome.BROKEN)
    assert stale_read.recorded(fenced=False) == broken_one.history


def test_with_its_fence_the_same_order_of_steps_is_not_stale() -> None:
    (broken_one,) = (each for each in lessons.load() if each.teaches is Outcome.BROKEN)
    assert check(stale_read.recorded(fenced=True), broken_one.checker).holds


def test_every_recording_says_where_it_comes_from() -> None:
    for lesson in lessons.load():
        assert re.search(r"recorded|recording", lesson.origin, re.IGNORECASE), lesson.title
        assert lesson.story
        assert lesson.lesson


def test_all_is_said_and_four_files_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(out) == 0
    said = capsys.readouterr().out
    for words in ("HOLDS", "BROKEN", "UNKNOWN", "VERIFIED", "REJECTED", "╠", "read v2", str(out)):
        assert words in said, words
    assert files(out) == FILES
    page = (out / "timeline.html").read_text()
    assert "<svg" in page
    assert "version 2 of project-7 was read after version 3" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)
    ElementTree.fromstring((out / "timeline.svg").read_text())  # noqa: S314 - ours


def test_the_bundle_is_verified_and_rejected_with_one_bit_flipped(tmp_path: Path) -> None:
    run(tmp_path / "out")
    good, bad = ((tmp_path / "out" / name).read_bytes() for name in FILES[1::-1])
    (at,) = (at for at, (one, other) in enumerate(zip(good, bad, strict=True)) if one != other)
    assert (good[at] ^ bad[at]).bit_count() == 1
    examined = verify.examine(container.read(tmp_path / "out" / "evidence.zip"))
    assert (examined.exit_code, examined.findings) == (0, [])
    again = {str(one.again.outcome) for one in examined.judged if one.again is not None}
    assert again == {"holds", "broken", "unknown"}
    damaged = verify.examine(container.read(tmp_path / "out" / "evidence-flipped.zip"))
    assert damaged.exit_code == 1
    assert any("attachment.jsonl is damaged" in str(finding) for finding in damaged.findings)


def test_it_replaces_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out)
    run(out)
    assert files(out) == FILES
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"somebody else put mine\.txt"):
        run(out)
    assert (out / "mine.txt").read_text() == "mine"
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("theirs")
    with pytest.raises(UsageError, match="name another folder"):
        run(tmp_path / "theirs")
    assert files(tmp_path / "theirs") == ["thesis.tex"]


def test_a_folder_that_cannot_be_written_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"cannot be written: .*; name another: --out DIR"):
        run(Path("/proc/demo"))


def test_a_terminal_without_line_letters_is_given_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.Console, "encoding", "ascii")
    run(tmp_path / "out")
    said = capsys.readouterr().out
    assert re.search("#=+#", said)
    assert "╠" not in said


def test_where_a_verdict_is_another_one_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        lessons.Lesson, "verdict", lambda self: check(self.history, lambda _: broken("x", "y"))
    )
    with pytest.raises(Inconclusive, match="A paused cache"):
        run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_is_accepted_though_it_was_changed_ends_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unharmed(good: Path, bad: Path) -> str:
        bad.write_bytes(good.read_bytes())
        return "nothing"

    monkeypatch.setattr(evidence_bundle, "flipped", unharmed)
    with pytest.raises(Inconclusive, match="not verified as it should be"):
        run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_takes_less_than_ten_seconds_and_nothing_but_python(tmp_path: Path) -> None:
    """From the start of the process, without a program on the PATH, and without a home."""
    environment = {
        "PATH": str(tmp_path / "empty"),
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path / "home"),
        "COLUMNS": "80",
        "LANG": "C",
    }
    argv = [sys.executable, "-m", "infraforge.cli", "demo", "--out", str(tmp_path / "out")]
    before = os.times()
    began = time.monotonic()
    done = subprocess.run(
        argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert done.returncode == 0, done.stderr
    # of the process' own time: a machine that is busy otherwise says nothing of the demo
    assert used < 10, f"{used:.1f} s of CPU time, {time.monotonic() - began:.1f} s in all"
    assert files(tmp_path / "out") == FILES
    assert not (tmp_path / "home").exists()


def test_help_tells_what_it_needs_and_what_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    demo.configure(parser.add_subparsers())
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["demo", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for words in ("no Docker, no cluster", "--out DIR", "never overwritten", *FILES):
        assert words.replace("no Docker", "No Docker").lower() in said.lower(), words


# the drawing


def drawn(text: str, width: int = 40) -> dict[str, drawing.Lane]:
    found = history(text)
    verdict = broken("x", "y", *found.operations[-2:])
    return {lane.process: lane for lane in drawing.lanes(found, verdict, width)}


def test_calls_that_overlap_stand_above_each_other_and_others_do_not() -> None:
    lanes = drawn("""
        a invoke read -
        b invoke read -
        a ok read - [1,1]
        b ok read - [1,1]
        b invoke add - 1
        b ok add - 1
    """)
    first, second = lanes["a"].bars, lanes["b"].bars
    assert first.index("├") < second.index("├") < first.index("┤") < second.index("┤")
    assert second.index("╠") > second.index("┤")
    begin, end = lanes["b"].marked[0]
    assert second[begin:end].replace("═", "") == "╠╣"
    assert lanes["a"].marked == ()
    assert lanes["b"].labels.split() == ["read", "v1", "add"]


def test_a_call_without_an_answer_stays_open_to_the_end() -> None:
    lanes = drawn("a invoke write x 1\nb invoke read x\nb ok read x [1,1]")
    assert lanes["a"].bars.rstrip().endswith("─")
    assert len(lanes["a"].bars) == 40
    assert lanes["a"].labels == "write ?"


def test_labels_that_do_not_fit_are_left_out_and_rows_stay_as_wide_as_asked() -> None:
    many = "\n".join(f"a invoke read x\na ok read x [{n},1]" for n in range(60))
    for width in (1, 7, 40, 300):
        (lane,) = drawn(many, width).values()
        assert len(lane.bars) == width
        assert len(lane.labels) <= width
    assert drawing.lanes(History(), broken("x", "y"), 10) == []


def test_words_of_a_recording_cannot_become_markup() -> None:
    found = history('a invoke write <b> "<script>"\na ok write <b> [1,"<script>"]')
    page = drawing.page("<i>", "<u>", found, broken("<b>", "<script>", *found.operations))
    for tag in ("<i>", "<u>", "<b>", "<script>"):
        assert tag not in page
