"""Record, judge and draw the stale read that README.md shows.

    python docs/pictures/stale_read.py            # writes stale-read.svg and fenced-read.svg

The history is recorded, not made up. The backend's own cache code and Lua scripts run step by step
against a real Lua (`fakeredis`) and a model of PostgreSQL (`infraforge.selftests.backend_model`),
in one order of steps: a reader misses and reads the row, a writer changes the row, the reader
fills the cache, a second reader asks. `stale-read` is that order with the writer's fence taken
away; `fenced-read` is the same order with the code as it is shipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infraforge.checkers import no_stale_read
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.report import timeline
from infraforge.selftests import backend_model as model
from infraforge.verdict import check

HERE = Path(__file__).parent
NAMES = {"writer": "writer", "slow": "slow reader", "late": "later reader"}
PICTURES = {"stale-read": False, "fenced-read": True}
"""Name of the picture → whether writers fence the cache, as the shipped code does."""

_KEY = "project"


def recorded(fenced: bool) -> History:
    """Run the order of steps once. fenced: whether the writer fences the cache key."""
    ticks = iter(range(0, 10**12, 10**6))
    recorder = Recorder(lambda: next(ticks))
    world = model.World()
    one, other = world.processes

    def read(process: model.Process, name: str) -> Callable[[], None]:
        def work() -> None:
            with recorder.call(name, "read", _KEY) as call:
                body = process.read()
                call.ok(None if body is None else [int(body), body.decode()])

        return work

    def write(content: str) -> None:
        with recorder.call("writer", "write", _KEY, content) as call:
            call.ok([one.write(present=True, fenced=fenced), content])

    world.run(world.begin(one, lambda: write("2")))
    world.redis.server.delete("k")  # whatever was cached has expired
    slow = world.begin(other, read(other, "slow"))
    while slow.at != "select":
        world.step(slow)
    world.step(slow)  # it has read the row, and is about to fill the cache
    world.run(world.begin(one, lambda: write("3")))
    world.run(slow)
    world.run(world.begin(one, read(one, "late")))
    world.end()
    return recorder.history


def picture(fenced: bool) -> str:
    """The SVG of one run."""
    history = recorded(fenced)
    return timeline.drawn(history, check(history, no_stale_read), NAMES)


def main() -> None:
    """Write both pictures beside this file."""
    for name, fenced in PICTURES.items():
        (HERE / f"{name}.svg").write_text(picture(fenced))
        print(HERE / f"{name}.svg")


if __name__ == "__main__":
    main()
