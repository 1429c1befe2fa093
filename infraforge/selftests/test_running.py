"""`infraforge test`: what it runs, refuses before anything is touched, and removes at the end."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import running, runs, stack
from infraforge.cli import main
from infraforge.note import Note
from infraforge.profile import Ports, Profile

Run = Callable[..., int]


@pytest.fixture
def calls() -> list[Any]:
    """What was done to the platform, and pytest's arguments."""
    return []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> Run:
    """`infraforge test …` without a cluster: all but pytest's own collection is noted only."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(running.evidence, "REPORTS", tmp_path / "reports")
    for name in ("INFRAFORGE_HELD", runs.VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def stand_up(name: str, profile: Profile, **how: Any) -> Any:
        calls.append(f"stand up {profile.name}")
        Note(profile.name, Ports(1, 2), "", {}, {}, how["keep"] or stack.stays(name)).write(name)
        return SimpleNamespace(timings={"install": 1.0}, versions=dict)

    class Pytest:
        def __init__(self, argv: list[str], env: dict[str, str], **_how: Any) -> None:
            calls.append(argv)
            (tmp_path / "told").write_text(env[runs.VARIABLE])

        def wait(self) -> int:
            return 0

    def remove(cluster: Any) -> list[str]:
        calls.append("remove")
        return []

    monkeypatch.setattr(stack, "stand_up", stand_up)
    monkeypatch.setattr(stack.down, "remove", remove)
    real = subprocess.run  # it collects with pytest itself
    monkeypatch.setattr(running, "subprocess", SimpleNamespace(Popen=Pytest, run=real))
    return lambda *argv: main(["test", "--no-report", *argv])


def test_suites_are_run_where_no_path_is_given(run: Run, calls: list[Any]) -> None:
    assert run("--profile", "minimal", "--", "-k", "logout") == 0
    assert [call for call in calls if isinstance(call, str)] == ["stand up minimal", "remove"]
    (argv,) = [call for call in calls if isinstance(call, list)]
    assert argv[-4:] == ["-o", "testpaths=suites", "-k", "logout"]


def test_each_run_has_a_folder_of_its_own_and_pytest_is_told_which(
    run: Run, tmp_path: Path
) -> None:
    told = []
    for number in (1, 2):
        assert run("--profile", "minimal") == 0
        told.append((tmp_path / "told").read_text())
        folders = {path.name: path for path in (tmp_path / "reports" / "runs").iterdir()}
        assert len(folders) == number
        timings = json.loads((folders[told[-1]] / runs.TIMINGS).read_text())
        assert timings.keys() == {"install", "suites"}
    assert len(set(told)) == 2


def test_a_run_that_has_results_is_refused_before_anything_is_touched(
    run: Run, calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs.Run(tmp_path / "reports" / "runs" / runs.new_id())
    before.claim()
    monkeypatch.setenv(runs.VARIABLE, before.id)
    assert run("--profile", "minimal") == 64
    assert calls == []


@pytest.mark.parametrize(
    ("chosen", "folder", "more"),
    [
        (["-k", "logout"], "suites/access", []),
        (["-k", "suites"], "suites/access", []),  # a word that is a folder's name, too
        (["-k", "killed_component and redis-cache"], "chaos/test_experiments.py", ["--chaos"]),
        (["suites/access/test_logout.py"], "suites/access/test_logout.py", []),
    ],
)
def test_pytest_itself_tells_paths_from_what_belongs_to_options(
    chosen: list[str], folder: str, more: list[str]
) -> None:
    options = argparse.Namespace(chaos=bool(more), pytest=chosen)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *running._selection(options), "--collect-only", "-q"],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if "::" in line]
    assert any(line.startswith(folder) for line in found), done.stdout[-500:]
    assert not [line for line in found if line.startswith("infraforge/selftests")]


@pytest.mark.parametrize(
    "case",
    [
        (["suites/access/test_logut.py"], 64, "not found: suites/access/test_logut.py"),
        (["--tally=pyproject.toml"], 64, "pyproject.toml exists and is not a tally"),
        (["--no-such-option"], 64, "unrecognized arguments: --no-such-option"),
        (["-k", "no_test_is_called_so"], 2, "no test is chosen by: -k no_test_is_called_so"),
    ],
)
def test_what_pytest_cannot_make_sense_of_is_told_before_anything_is_touched(
    run: Run,
    calls: list[Any],
    capsys: pytest.CaptureFixture[str],
    case: tuple[list[str], int, str],
) -> None:
    arguments, code, told = case
    assert run("--profile", "minimal", "--", *arguments) == code
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say which profile to test"),
        (["--profile", "minimel"], "minimel"),
    ],
)
def test_a_profile_that_cannot_be_tested_is_told_before_anything_is_touched(
    run: Run,
    calls: list[Any],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    assert run(*arguments) == 64
    assert told in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(
    ("up", "asked", "profile"),
    [
        (None, [], "minimal"),
        (None, ["--profile", "standard"], "standard"),
        ("standard", [], "standard"),
    ],
    ids=["from nothing", "of a profile", "of what is up"],
)
def test_experiments_stand_their_profile_up_and_leave_nothing_but_what_was_to_stay(
    run: Run, calls: list[Any], up: str | None, asked: list[str], profile: str
) -> None:
    if up:
        Note(up, Ports(1, 2), "", {}, {}, keep=True).write(stack.DEFAULT_NAME)
    assert run("--chaos", *asked) == 0
    assert f"stand up {profile}" in calls
    (argv,) = [call for call in calls if isinstance(call, list)]
    assert argv[-2:] == ["-o", "testpaths=chaos"]
    assert "-n" not in argv
    assert (calls[-1] == "remove") is (up is None)


def test_it_is_removed_whatever_the_suites_end_in(
    run: Run,
    calls: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> int:
        raise KeyError("unforeseen")

    monkeypatch.setattr(running, "_pytest", fails)
    assert run("--profile", "minimal") == 2
    assert "KeyError: 'unforeseen'" in capsys.readouterr().err
    assert calls[-1] == "remove"
