"""The backend's cache through a promotion: ways to serve what was replaced, and why none does.

Each story is told twice: as the application is, and with the rule taken out that stands against it.
Without the rule the story ends in a stale read; that is what the rule is there for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infraforge.selftests import backend_model as model

LEASE = int(model.LEASE)


@pytest.fixture
def world() -> Iterator[model.World]:
    made = model.World()
    second(made)  # the clients have met the master
    yield made
    made.end()


def second(world: model.World, *processes: model.Process) -> None:
    """A second passes; the pulses of these processes, or of all, beat."""
    world.pass_time(1.0)
    for process in processes or world.processes:
        process.beat()
        process.cache.probe()


def written(world: model.World, process: model.Process) -> int:
    """A write from its begin to its acknowledgement, with time passing where it waits."""
    done: list[int] = []
    operation = world.begin(process, lambda: done.append(process.write(True)))
    world.run(operation)
    while operation.at:
        second(world)
        world.run(operation)
    return done[0]


def until(world: model.World, operation: model.Operation, *places: str) -> str:
    """Step, at least once, to the next of these places, or to its end; where it is then."""
    while operation.at:
        world.step(operation)
        if operation.at in places:
            break
    return operation.at


def read(process: model.Process) -> int:
    return int(process.read() or b"-1")


def seen_from_now_on(world: model.World) -> set[int]:
    """What each process reads in the next seconds."""
    found = set()
    for _ in range(4 * LEASE):
        found |= {read(process) for process in world.processes}
        second(world)
    return found


# the stories


def a_lost_invalidation(world: model.World) -> tuple[set[int], set[int]]:
    """The replica lacks the last invalidation, is promoted, and nobody writes any more."""
    writer, reader = world.processes
    read(reader)
    world.replicate()
    newest = written(world, writer)
    world.promote().stopped = True
    return seen_from_now_on(world), {newest}


def two_masters(world: model.World) -> tuple[set[int], set[int]]:
    """A former master answers one process, which writes; the other has the promoted one."""
    writer, reader = world.processes
    read(reader)
    world.replicate()
    writer.pinned = world.promote()
    for _ in range(3 * LEASE):
        second(world, reader)
        read(reader)
    writer.beat()
    newest = written(world, writer)
    second(world, reader)
    return {read(reader), read(writer)} | seen_from_now_on(world), {newest}


def two_masters_at_first(world: model.World) -> tuple[set[int], set[int]]:
    """The former master answers a reader, whose knowledge of it is fresh, after others moved on."""
    reader, writer = world.processes
    read(reader)
    reader.pinned = world.promote()
    world.pass_time(0.1)
    reader.beat()
    for _ in range(3):
        writer.cache.probe()
        writer.beat()
    newest = written_at_once(world, writer)
    return {read(reader)}, {newest}


def a_transaction_that_straddles(world: model.World) -> tuple[set[int], set[int]]:
    """A writer has fenced the former master, and commits after others met the promoted one."""
    writer, reader = world.processes
    done: list[int] = []
    open_one = world.begin(writer, lambda: done.append(writer.write(True)))
    until(world, open_one, "commit")
    writer.pinned = world.promote()
    for _ in range(3 * LEASE):
        second(world, reader)
    filling = world.begin(reader, reader.read)
    until(world, filling, "select", "")
    until(world, filling, "script", "")  # the row as it was is loaded
    while until(world, open_one, "asleep", ""):
        second(world, reader)
    until(world, filling, "")
    return seen_from_now_on(world), {done[0]}


def a_revived_epoch(world: model.World) -> tuple[set[int], set[int]]:
    """A process that was cut off from PostgreSQL hears, too late, that nobody has a session."""
    reader, writer = world.processes
    read(reader)
    writer.cut = True
    done: list[int] = []
    operation = world.begin(writer, lambda: done.append(writer.write(True)))
    world.run(operation)
    while operation.at:
        second(world, writer)
        world.run(operation)
    world.postgres.crash()
    reader.beat()
    try:
        seen = {read(reader)}
    except model.problems.Unavailable:
        seen = set()
    return seen, {done[0]}


def written_at_once(world: model.World, process: model.Process) -> int:
    """As `written`, with the clock standing still where nothing has to wait."""
    done: list[int] = []
    operation = world.begin(process, lambda: done.append(process.write(True)))
    world.run(operation)
    while operation.at:
        world.pass_time(LEASE)
        world.run(operation)
    return done[0]


# the rules, taken out


def asks_any_server(patch: pytest.MonkeyPatch) -> None:
    """As it was before: the value's epoch alone decides."""
    asked = model.ScriptedRedis.eval

    def ask(self: Any, _server: Any, *rest: Any) -> object:
        return asked(self, None, *rest)

    patch.setattr(model.ScriptedRedis, "eval", ask)
    patch.setattr(model.naming.Naming, "beat", lambda *_: None)


def names_without_a_wait(patch: pytest.MonkeyPatch) -> None:
    made = model.naming.Naming.__init__

    def init(self: Any, met: Any, _lease: float, clock: Any) -> None:
        made(self, met, 0.0, clock)

    patch.setattr(model.naming.Naming, "__init__", init)


def names_beside_open_transactions(patch: pytest.MonkeyPatch) -> None:
    nobody = property(lambda _: set(), lambda *_: None)
    patch.setattr(model.Postgres, "holding", nobody, raising=False)


def extends_what_has_run_out(patch: pytest.MonkeyPatch) -> None:
    def refused(self: Any, asked_at: float) -> None:
        self._extended = max(self._extended, asked_at)

    patch.setattr(model.epoch.EpochKnowledge, "refused", refused)


STORIES: list[tuple[Callable[..., Any], Callable[..., None]]] = [
    (a_lost_invalidation, asks_any_server),
    (two_masters, asks_any_server),
    (two_masters_at_first, names_without_a_wait),
    (a_transaction_that_straddles, names_beside_open_transactions),
    (a_revived_epoch, extends_what_has_run_out),
]
WITH_NAMES = pytest.mark.parametrize(
    ("story", "without"), STORIES, ids=[story.__name__ for story, _ in STORIES]
)


@WITH_NAMES
def test_no_promotion_serves_what_was_replaced(
    story: Callable[..., Any], without: object, world: model.World
) -> None:
    seen, allowed = story(world)
    assert seen <= allowed


@WITH_NAMES
def test_each_rule_is_what_keeps_a_story_from_ending_badly(
    story: Callable[..., Any], without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    made = model.World()
    second(made)
    seen, allowed = story(made)
    assert not seen <= allowed, "the story ends well without the rule: it shows nothing"
    made.end()
