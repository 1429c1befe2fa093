"""Who may use the shared stack now, across processes: many side by side, or one alone.

A readers-writer lock made of two lock files. Everybody passes the gate first, so that a process
that waits to be alone is not overtaken forever by those who share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from infraforge import locks

# pytest's options for parallel tests: handed out one by one, as some wait for a minute
SIDE_BY_SIDE = ("-n", "4", "--maxschedchunk=1")


@contextlib.contextmanager
def turn(folder: Path, name: str, *, alone: bool, wait: bool = True) -> Iterator[None]:
    """Hold the stack `name` for the duration of the block; `alone` excludes all other processes.

    folder: where the lock files are. Raises locks.Busy where another process has the turn and
    `wait` is False.
    """
    with contextlib.ExitStack() as held:
        with locks.take(folder / f"{name}.gate", wait=wait):
            held.enter_context(locks.take(folder / f"{name}.turn", shared=not alone, wait=wait))
        yield
