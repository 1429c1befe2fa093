"""`infraforge test`: what it runs, refuses before anything is touched, and removes at the end."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import running, stack
from infraforge.cli import main
from infraforge.note import Note
from infraforge.profile import Ports

Run = Callable[..., int]


@pytest.fixture
def calls() -> list[Any]:
    """What was done to the platform, and pytest's arguments."""
    return []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> Run:
    """`infraforge test …` without a cluster: all but pytest's own collection is noted only."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("INFRAFORGE_HELD", raising=False)

    def stand_up(name: str, profile: str, **how: Any) -> Any:
        calls.append(f"stand up {profile}")
        Note(profile, Ports(1, 2), "", {}, {}, how["keep"] or stack.stays(name)).write(name)
        return SimpleNamespace(timings={}, versions=dict)

    class Pytest:
        def __init__(self, argv: list[str], **_how: Any) -> None:
            calls.append(argv)

        def wait(self) -> int:
            return 0

    def remove(cluster: Any) -> list[str]:
        calls.append("remove")
        return []

    monkeypatch.setattr(stack, "stand_up", stand_up)
    monkeypatch.setattr(stack, "_remove", remove)
    real = subprocess.run  # it collects with pytest itself
    monkeypatch.setattr(running, "subprocess", SimpleNamespace(Popen=Pytest, run=real))
    for name in ("note_timings", "describe_run"):
        monkeypatch.setattr(running.evidence, name, lambda *_: None)
    monkeypatch.setattr(running.shutil, "rmtree", lambda *_a, **_k: calls.append("results go"))
    return lambda *argv: main(["test", "--no-report", *argv])


def test_suites_are_run_where_no_path_is_given(run: Run, calls: list[Any]) -> None:
    assert run("--profile", "minimal", "--", "-k", "logout") == 0
    assert [call for call in calls if isinstance(call, str)] == [
        "results go",
        "stand up minimal",
        "remove",
    ]
    (argv,) = [call for call in calls if isinstance(call, list)]
    assert argv[-4:] == ["-o", "testpaths=suites", "-k", "logout"]


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
        (["--profile", "enterprise"], "planned, not built yet"),
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
    run: Run, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_options: argparse.Namespace) -> int:
        raise KeyError("unforeseen")

    monkeypatch.setattr(running, "_pytest", fails)
    with pytest.raises(KeyError):
        run("--profile", "minimal")
    assert calls[-1] == "remove"
