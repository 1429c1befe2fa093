"""Runs stay separate: ids, claims, what is removed and what never is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infraforge import runs
from infraforge.errors import UsageError
from infraforge.runs import Run

BEGAN = datetime(2026, 11, 27, 20, 15, tzinfo=UTC)


def made(reports: Path, number: int) -> Run:
    run = Run(reports / "runs" / runs.new_id(BEGAN + timedelta(minutes=number)))
    run.folder.mkdir(parents=True)
    run.index.write_text("{}")
    return run


def test_ids_have_one_format_and_sort_by_time() -> None:
    first, second = runs.new_id(BEGAN), runs.new_id(BEGAN + timedelta(seconds=1))
    assert re.fullmatch(r"20261127T201500Z-[0-9a-f]{6}", first)
    assert first < second
    assert first != runs.new_id(BEGAN)


def test_the_environment_may_name_a_run(tmp_path: Path) -> None:
    name = runs.new_id()
    assert runs.started(tmp_path, {runs.VARIABLE: name}).id == name
    assert runs.started(tmp_path, {}).folder.parent == tmp_path / "runs"
    for odd in ("../../etc", "x", f"{name}/..", f"{name}\n"):
        with pytest.raises(UsageError, match="unset INFRAFORGE_RUN"):
            runs.started(tmp_path, {runs.VARIABLE: odd})


def test_a_run_is_claimed_once(tmp_path: Path) -> None:
    run = runs.started(tmp_path, {})
    run.claim()
    with pytest.raises(UsageError, match="never share a folder"):
        run.claim()


def test_the_latest_run_is_found_and_others_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pytest suites"):
        runs.latest(tmp_path)
    first, second = made(tmp_path, 1), made(tmp_path, 2)
    runs.started(tmp_path, {}).claim()  # nothing is recorded of it yet
    assert runs.latest(tmp_path) == second
    assert runs.named(tmp_path, first.id) == first
    with pytest.raises(UsageError, match="report --list"):
        runs.named(tmp_path, "..")


def test_old_runs_are_removed_unless_in_use_or_not_a_run(tmp_path: Path) -> None:
    used, old, *latest = (made(tmp_path, number) for number in range(5))
    place = tmp_path / "runs"
    precious = tmp_path / "precious"
    (precious / "x").mkdir(parents=True)
    link = place / runs.new_id(BEGAN - timedelta(days=1))
    link.symlink_to(precious)
    (place / "notes").mkdir()
    never = Run(place / runs.new_id(BEGAN))
    never.folder.mkdir()
    with used.in_use():
        assert used.busy
        assert sorted(runs.prune(tmp_path, kept=3)) == sorted([old.id, never.id])
    assert not used.busy
    assert runs.recorded(tmp_path) == [used, *latest]
    assert (precious / "x").exists()
    assert (place / "notes").exists()
    assert runs.prune(tmp_path, kept=3) == [used.id]


def test_a_folder_removed_while_it_is_taken_is_created_again(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / runs.new_id())
    with run.in_use(), run.in_use():
        assert run.busy
        assert runs.prune(tmp_path, kept=0) == []
    assert runs.prune(tmp_path, kept=0) == [run.id]
    with run.in_use():
        assert run.folder.is_dir()
