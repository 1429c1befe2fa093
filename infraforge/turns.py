"""Who may use the shared stack now: many side by side, or one alone, across processes.

A readers-writer lock of two lock files. Whoever wants in passes the gate first, so that one who
waits to be alone is not overtaken for ever by others who share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from infraforge import locks

# pytest's options for tests side by side: handed out one by one, as some wait for a minute
SIDE_BY_SIDE = ("-n", "4", "--maxschedchunk=1")


@contextlib.contextmanager
def turn(folder: Path, name: str, *, alone: bool, wait: bool = True) -> Iterator[None]:
    """Hold the stack `name` while the block runs; `alone` keeps every other process out.

    folder: where the lock files are. Raises locks.Busy where the turn is another's and `wait` is
    False.
    """
    with contextlib.ExitStack() as held:
        with locks.take(folder / f"{name}.gate", wait=wait):
            held.enter_context(locks.take(folder / f"{name}.turn", shared=not alone, wait=wait))
        yield
