"""Who may use the shared stack now: many side by side, or one alone, across processes.

A readers-writer lock of two lock files. Whoever wants in passes the gate first, so that one who
waits to be alone is not overtaken for ever by others who share.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the stack while the block runs; `alone` keeps every other process out."""
    with (folder / "gate.lock").open("a") as gate, (folder / "stack.lock").open("a") as stack:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(stack, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
