"""Records the stale read that `infraforge demo` shows: the application's own code, unfenced once.

Two backend processes, their cache code and its Lua scripts run in `backend_model`. One write leaves
out its fence (the tombstone that keeps a slow reader from filling the cache with what it read
before), as a backend without fencing would. Everything else is as shipped.
"""

from __future__ import annotations

from collections.abc import Callable

from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.selftests import backend_model as model

_KEY = "project-7"
_STEP = 4_000_000
"""Nanoseconds between two lines: the model's steps have an order, but take no time."""


def recorded() -> History:
    """The history, the same each time."""
    ticks = iter(range(_STEP, 1_000 * _STEP, _STEP))
    recorder = Recorder(lambda: next(ticks))
    world = model.World()

    def read(process: str, who: int) -> Callable[[], None]:
        def work() -> None:
            with recorder.call(process, "read", _KEY) as pending:
                body = world.processes[who].read()
                pending.ok(None if body is None else [int(body), f"name-{int(body)}"])

        return work

    def write(process: str, who: int, *, fenced: bool) -> Callable[[], None]:
        def work() -> None:
            content = f"name-{world.postgres.newest + 1}"
            with recorder.call(process, "write", _KEY, content) as pending:
                number = world.processes[who].write(True, fenced=fenced)
                pending.ok([number, content])

        return work

    def run(who: int, work: Callable[[], None]) -> None:
        world.run(world.begin(world.processes[who], work))

    run(1, write("writer", 1, fenced=True))
    run(1, read("reader-1", 1))
    run(1, write("writer", 1, fenced=True))
    slow = world.begin(world.processes[0], read("reader-0", 0))
    while slow.at != "select":  # a miss; the reader is about to ask PostgreSQL
        world.step(slow)
    world.step(slow)  # it has the row, and is about to put it into the cache
    run(1, write("writer", 1, fenced=False))
    world.run(slow)
    run(1, read("reader-1", 1))
    run(1, read("reader-1", 1))
    world.end()
    return recorder.history
