"""Foreign files and folders are never overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from infraforge import files, places
from infraforge.errors import UsageError


def _folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def _ours(path: Path) -> Path:
    _folder(path, {"index.html": "x", "data/a.json": "{}"})
    places.mark(path, "run")
    return path


def test_only_an_absent_empty_or_own_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "absent" / "deeper", tmp_path / "empty", _ours(tmp_path / "ours")):
        places.refuse_foreign_folder(path, {})


def _link(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(_ours(tmp_path / "ours"))
    return tmp_path / "link"


def _dangling(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    return tmp_path / "link"


def _with(**more: str) -> Callable[[Path], Path]:
    names = {name.replace("__", "."): text for name, text in more.items()}
    return lambda tmp_path: _folder(_ours(tmp_path / "ours"), names)


def _with_folder(tmp_path: Path) -> Path:
    (_ours(tmp_path / "ours") / "mine").mkdir()
    return tmp_path / "ours"


def _with_link(tmp_path: Path) -> Path:
    (_ours(tmp_path / "ours") / "mine").symlink_to("/")
    return tmp_path / "ours"


def _file(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda t: _folder(t / "theirs", {"thesis.tex": "x"}), "has no .infraforge-report.json"),
        (lambda t: _folder(t / "theirs", {"a/b": "x", "index.html": "x"}), "has no"),
        (lambda t: _folder(t / "t", {places.MARKER: "{}"}), "has no"),
        (lambda t: _folder(t / "t", {places.MARKER: "[]", "x": ""}), "has no"),
        (_with(notes__txt="mine"), "somebody else put notes.txt"),
        (_with_folder, "somebody else put mine"),
        (_with_link, "somebody else put mine"),
        (_link, "symbolic link"),
        (_dangling, "symbolic link"),
        (_file, "is a file"),
        (lambda t: _file(t) / "below", "cannot be written"),
        (lambda _: Path("/"), "holds, the checkout"),
        (lambda t: t / "checkout", "holds, the checkout"),
        (lambda t: t, "holds, the checkout"),
        (lambda t: t / "checkout" / "x" / "..", "holds, the checkout"),
    ],
)
def test_any_other_folder_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    (tmp_path / "checkout" / "x").mkdir(parents=True)
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=told):
        places.refuse_foreign_folder(path, {"the checkout": tmp_path / "checkout"})
    assert sorted(tmp_path.rglob("*")) == before


def test_only_an_absent_empty_or_own_file_is_replaced(tmp_path: Path) -> None:
    def is_ours(path: Path) -> bool:
        return path.read_text() == "ours"

    _folder(tmp_path, {"ours": "ours", "empty": "", "theirs": "x"})
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    os.mkfifo(tmp_path / "pipe")
    for name in ("ours", "empty", "absent", "new/absent"):
        places.refuse_foreign_file(tmp_path / name, "ours", is_ours)
    for name, told in (
        ("theirs", "is not ours; remove it"),
        ("link", "symbolic link"),
        (".", "is a folder"),
        ("pipe", "not a regular file"),
        ("ours/below", "cannot be written"),
    ):
        with pytest.raises(UsageError, match=told):
            places.refuse_foreign_file(tmp_path / name, "ours", is_ours)


def test_a_folder_made_aside_replaces_the_old_one_whole_or_not_at_all(tmp_path: Path) -> None:
    ours = _ours(tmp_path / "ours")
    for aside in (places.made_aside(ours), files.aside(tmp_path / "file")):
        with pytest.raises(ZeroDivisionError):
            _half(aside)
    assert (ours / "index.html").exists()
    assert not (tmp_path / "file").exists()
    with places.made_aside(ours) as new:
        (new / "whole").touch()
    assert [path.name for path in ours.iterdir()] == ["whole"]
    with files.aside(tmp_path / "file") as new:
        new.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "ours"]


def _half(aside: AbstractContextManager[Path]) -> None:
    with aside as new:
        (new / "half" if new.is_dir() else new).touch()
        raise ZeroDivisionError
