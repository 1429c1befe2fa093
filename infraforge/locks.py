"""Locks between processes: flock on files that come and go with what they protect.

The kernel releases a lock when its holder dies, in whatever way. Only a process that holds the lock
alone removes its file, and a process that gets a lock checks that its file is still the one at that
path: so nobody ever holds a file that others cannot see.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class Busy(Exception):
    """Another process holds the lock. holder: its description of itself, or ""."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def take(path: Path, *, shared: bool = False, wait: bool = True) -> IO[str]:
    """The lock file, held until it is closed; its folder is created if missing.

    Raises Busy where others hold it and `wait` is False.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, kind)
        except BlockingIOError:
            with file:
                file.seek(0)
                raise Busy(file.read().strip()) from None
        except BaseException:
            file.close()
            raise
        if _is_at(file, path):
            return file
        file.close()  # its former holder removed it; by now there is another one


@contextlib.contextmanager
def held(path: Path, *, shared: bool = False, wait: bool = True, says: str = "") -> Iterator[None]:
    """Hold the lock for the duration of the block. says: names the holder when it holds alone."""
    with take(path, shared=shared, wait=wait) as file:
        if not shared:
            file.truncate(0)
            file.write(says)
            file.flush()
        try:
            yield
        finally:
            if not shared:
                file.truncate(0)


def remove(path: Path) -> bool:
    """Remove the lock file unless somebody holds it; returns whether it is gone."""
    try:
        file = path.open("r")
    except FileNotFoundError:
        return True
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if _is_at(file, path):
            path.unlink()
    return True


def _opened(path: Path) -> IO[str]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the folder was just removed
            return path.open("a+")


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(file.fileno())
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
