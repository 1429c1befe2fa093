"""Who may use the shared stack now: many side by side, or one alone, across processes.

A readers-writer lock of two lock files. Whoever wants in passes the gate first, so that one who
waits to be alone is not overtaken for ever by others who share.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

# pytest's options for tests side by side: handed out one by one, as some wait for a minute
SIDE_BY_SIDE = ("-n", "4", "--maxschedchunk=1")


@contextlib.contextmanager
def turn(folder: Path, name: str, *, alone: bool) -> Iterator[None]:
    """Hold the stack `name` while the block runs; `alone` keeps every other process out.

    folder: where the lock files are; it exists.
    """
    gates, stacks = folder / f"{name}.gate", folder / f"{name}.turn"
    with gates.open("a") as gate, stacks.open("a") as stack:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(stack, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
