"""Records the stale read of README's picture and `infraforge demo`: the application's own code.

Two backend processes, their cache code and its Lua scripts run step by step in `backend_model`: a
reader misses and reads the row, a writer changes the row, the reader fills the cache, a second
reader asks. Unfenced, that one write leaves out its fence (the tombstone that keeps a slow reader
from filling the cache with what it read before). Everything else is as shipped.
"""

from __future__ import annotations

from collections.abc import Callable

from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.selftests import backend_model as model

_KEY = "project-7"
_STEP = 4_000_000
"""Nanoseconds between two lines: the model's steps have an order, but take no time."""


def recorded(*, fenced: bool) -> History:
    """The history, the same each time. fenced: whether the write beside the slow reader is."""
    ticks = iter(range(_STEP, 1_000 * _STEP, _STEP))
    recorder = Recorder(lambda: next(ticks))
    world = model.World()
    one, other = world.processes

    def read(process: model.Process, name: str) -> Callable[[], None]:
        def work() -> None:
            with recorder.call(name, "read", _KEY) as call:
                body = process.read()
                call.ok(None if body is None else [int(body), f"name-{int(body)}"])

        return work

    def write(*, fenced: bool) -> None:
        content = f"name-{world.postgres.newest + 1}"
        with recorder.call("writer", "write", _KEY, content) as call:
            call.ok([one.write(present=True, fenced=fenced), content])

    world.run(world.begin(one, lambda: write(fenced=True)))
    slow = world.begin(other, read(other, "slow"))
    while slow.at != "select":  # a miss; the reader is about to ask PostgreSQL
        world.step(slow)
    world.step(slow)  # it has the row, and is about to put it into the cache
    world.run(world.begin(one, lambda: write(fenced=fenced)))
    world.run(slow)
    world.run(world.begin(one, read(one, "late")))
    world.end()
    return recorder.history
