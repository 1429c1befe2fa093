"""Pinned npm packages are installed once, and only as the lock file says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infraforge import evidence, npm
from infraforge.workloads import axe


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a lock file, and an npm that notes each of its runs."""
    folder, tools = tmp_path / "pinned", tmp_path / "tools"
    folder.mkdir()
    tools.mkdir()
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text("{}")
    program = tools / "npm"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ran\nmkdir node_modules\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    return folder


def runs(tmp_path: Path) -> list[str]:
    return (tmp_path / "ran").read_text().splitlines()


def test_each_lock_file_is_installed_once(pinned: Path, tmp_path: Path) -> None:
    first = npm.installed(pinned, "thing")
    assert first.is_dir()
    assert npm.installed(pinned, "thing") == first
    assert runs(tmp_path) == ["ci --ignore-scripts --no-audit --no-fund"]
    (pinned / "package-lock.json").write_text('{"lockfileVersion": 3}')
    assert npm.installed(pinned, "thing") != first
    assert len(runs(tmp_path)) == 2


def test_a_failure_of_npm_is_reported_and_leaves_nothing(pinned: Path, tmp_path: Path) -> None:
    (tmp_path / "tools" / "npm").write_text("#!/bin/sh\necho integrity is wrong\nexit 1\n")
    with pytest.raises(npm.NotInstalled, match="integrity is wrong"):
        npm.installed(pinned, "thing")
    assert list((tmp_path / "cache" / "thing").iterdir()) == []


@pytest.mark.parametrize("folder", [evidence.REPORTS, axe.PINNED], ids=["reports", "axe"])
def test_versions_are_exact_and_every_file_is_checked(folder: Path) -> None:
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    lock = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert lock[""]["dependencies"] == wanted
    assert wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    for name, package in lock.items():
        assert not name or package["integrity"].startswith("sha512-")
        assert "resolved" not in package
