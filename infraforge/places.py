"""Where users want files written: nothing that is not ours is ever overwritten.

    refuse_foreign_file(path, "a bundle", is_bundle)    before the work begins
    with made_aside(path) as new: ...                   then: whole or not at all, like `files`

A check names what is in the way and says what to do; it raises UsageError.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from infraforge.errors import UsageError

MARKER = ".infraforge-report.json"
"""Marks a folder that we made: who made it, and the files put there."""

_MADE_BY = "infraforge report"


def home() -> Path:
    """The user's home folder. Raises UsageError where there is none."""
    try:
        return Path.home()
    except RuntimeError as error:  # no HOME, and no entry in the user database
        raise UsageError(
            "this user has no home folder; set HOME, or set INFRAFORGE_STATE and INFRAFORGE_CACHE "
            "to the folders for files"
        ) from error


def refuse_foreign_file(path: Path, what: str, is_ours: Callable[[Path], bool]) -> None:
    """Raise UsageError unless `path` is absent, empty, or a file that `is_ours` recognises.

    what: the name of such a file in the message.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link; name the file that it leads to")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file; name another one")
    try:
        foreign = path.exists() and path.stat().st_size > 0 and not is_ours(path)
        _refuse_unwritable(path.parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    if foreign:
        raise UsageError(f"{path} exists and is not {what}; remove it, or name another")


def refuse_foreign_folder(path: Path, protected: Mapping[str, Path]) -> None:
    """Raise UsageError unless `path` is absent, empty, or holds exactly what we put there.

    protected: description → folder that `path` must neither be nor contain.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link; name the folder that it leads to")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; name a folder")
    resolved = path.resolve()
    for what, folder in protected.items():
        if folder.resolve().is_relative_to(resolved):
            raise UsageError(f"{path} is, or holds, {what}; name a separate folder")
    try:
        odd = _not_ours(path) if path.is_dir() else ""
        _refuse_unwritable(path.parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    if odd:
        raise UsageError(
            f"{path} is not a report of InfraForge: {odd}; remove it, or name another folder"
        )


def mark(folder: Path, run: str) -> None:
    """Record in a folder that we made what is in it, so that we recognise it later."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    text = json.dumps({"made_by": _MADE_BY, "run": run, "files": files}, indent=1)
    (folder / MARKER).write_text(f"{text}\n")


@contextlib.contextmanager
def made_aside(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` to fill; it replaces `path` when the block succeeds.

    The former folder is moved aside first, and comes back where the move fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        new, old = Path(folder) / "new", Path(folder) / "old"
        new.mkdir()
        yield new
        if path.is_dir():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _not_ours(folder: Path) -> str:
    """What in this folder we did not put there; "" for nothing."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    there |= {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink()}
    folders = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    if not there and not folders:
        return ""
    try:
        note = json.loads((folder / MARKER).read_text())
        made = {str(name) for name in note["files"]} if note["made_by"] == _MADE_BY else None
    except (OSError, ValueError, KeyError, TypeError):
        made = None
    if made is None:
        return f"it has no {MARKER}"
    others = sorted(there - made - {MARKER})
    if others:
        return f"somebody else put {others[0]} there"
    empty = sorted(str(path.relative_to(folder)) for path in folders if not any(path.iterdir()))
    return f"somebody else put {empty[0]} there" if empty else ""


def _refuse_unwritable(folder: Path) -> None:
    """Raise OSError where `folder`, or its nearest existing parent, cannot be written."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(20, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, f"{folder} is not writable")
