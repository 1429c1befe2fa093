"""The backend's cache rules: epoch, leases, marks, and what happens when Redis is silent."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401

redis = importlib.import_module("redis")
cache = importlib.import_module("infraforge_backend.cache")
epoch = importlib.import_module("infraforge_backend.epoch")

LEASE = 2.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ModelRedis:
    """What the five scripts do, without expiry. `stopped`: connects, but never answers."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.stopped = False
        self.late: list[Callable[[], object]] = []

    def ping(self) -> bool:
        self._answer(lambda: True)
        return True

    def eval(self, script: str, count: int, *rest: Any) -> object:
        keys, values = rest[:count], rest[count:]
        does = {
            cache._LOOKUP: self._lookup,
            cache._FILL: self._fill,
            cache._GIVE_BACK: self._give_back,
            cache._FENCE: self._fence,
            cache._RELEASE: self._release,
        }[script]
        return self._answer(lambda: does(keys, values))

    def go_on(self) -> None:
        """Execute what had been received, then answer again."""
        self.stopped = False
        for command in self.late:
            command()
        self.late.clear()

    def close(self) -> None: ...

    def _answer(self, command: Callable[[], object]) -> object:
        if self.stopped:
            self.late.append(command)
            raise redis.TimeoutError
        return command()

    def _lookup(self, keys: Any, values: Any) -> list[object]:
        found = self.data.get(keys[0], b"")
        prefix = values[0].encode()
        if found.startswith(prefix):
            return [2, found[len(prefix) :]]
        if keys[1] in self.data:
            return [3] if self.data[keys[1]].startswith("w:") else [0]
        self.data[keys[1]] = values[1]
        return [1]

    def _fill(self, keys: Any, values: Any) -> int:
        if self.data.get(keys[1]) != values[0]:
            return 0
        self.data[keys[0]] = values[1]
        del self.data[keys[1]]
        return 1

    def _give_back(self, keys: Any, values: Any) -> int:
        if self.data.get(keys[1]) == values[0]:
            del self.data[keys[1]]
        return 1

    def _fence(self, keys: Any, values: Any) -> int:
        for value, lease in zip(keys[::2], keys[1::2], strict=True):
            self.data.pop(value, None)
            self.data[lease] = values[0]
        return 1

    def _release(self, keys: Any, values: Any) -> int:
        for value, lease in zip(keys[::2], keys[1::2], strict=True):
            self.data.pop(value, None)
            held = self.data.get(lease)
            if held and (held == values[0] or not held.startswith("w:")):
                del self.data[lease]
        return 1


class World:
    """One Redis, one row in the database, and any number of processes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.redis = ModelRedis()
        self.row = b"v1"
        self.epoch = 1

    def process(self, meanwhile: Callable[[], None] | None = None) -> Any:
        """A process. meanwhile: what happens each time it waits for another's fill."""

        def pause(seconds: float) -> None:
            assert meanwhile, "it waits, and nothing would ever happen"
            meanwhile()

        knowledge = epoch.EpochKnowledge(LEASE, self.clock)
        knowledge.seen(self.epoch, self.clock.now)
        made = cache.Cache(knowledge, 60, pause)
        made.use(self.redis)
        made.knowledge = knowledge
        return made

    def read(self, process: Any) -> tuple[bytes | None, str]:
        found = process.read("k", lambda: self.row)
        return found.body, found.how


@pytest.fixture
def world() -> World:
    return World()


def test_first_read_is_a_miss_then_hits_everywhere(world: World) -> None:
    one, two = world.process(), world.process()
    assert world.read(one) == (b"v1", "miss")
    assert world.read(one) == (b"v1", "hit")
    assert world.read(two) == (b"v1", "hit")


def test_slow_reader_cannot_put_back_what_a_writer_replaced(world: World) -> None:
    reader, writer = world.process(), world.process()

    def load_slowly() -> bytes:
        old = world.row
        mark = writer.fence(["k"])
        world.row = b"v2"
        assert writer.release(["k"], mark)
        return old

    assert reader.read("k", load_slowly).body == b"v1"  # it overlapped the write
    assert world.read(reader) == (b"v2", "miss")


def test_reader_that_comes_between_fence_and_commit_fills_nothing(world: World) -> None:
    reader, writer = world.process(), world.process()
    world.read(reader)
    mark = writer.fence(["k"])
    assert world.read(reader) == (b"v1", "miss")
    world.row = b"v2"  # commit; suppose the writer dies here: no release
    assert world.read(reader) == (b"v2", "miss")
    assert writer.release(["k"], mark)
    assert world.read(reader) == (b"v2", "miss")
    assert world.read(reader) == (b"v2", "hit")


def test_release_leaves_another_writers_mark(world: World) -> None:
    one, two, reader = world.process(), world.process(), world.process()
    first = one.fence(["k"])
    two.fence(["k"])
    assert one.release(["k"], first)
    world.read(reader)
    assert world.read(reader)[1] == "miss"


def test_commit_while_redis_is_stopped_leaves_no_old_value(world: World) -> None:
    writer, other = world.process(), world.process()
    assert world.read(other) == (b"v1", "miss")
    world.redis.stopped = True
    assert writer.fence(["k"]) is None
    world.row, world.epoch = b"v2", 2  # in one transaction
    world.clock.now += LEASE  # the writer waits, then acknowledges
    world.redis.go_on()
    assert world.read(other) == (b"v2", "bypass")  # has not looked since: leaves the cache alone
    other.knowledge.seen(world.epoch, world.clock.now)
    assert world.read(other)[0] == b"v2"


def test_fill_sent_to_a_stopped_redis_is_void_when_it_goes_on(world: World) -> None:
    reader = world.process()

    def load_while_it_stops() -> bytes:
        world.redis.stopped = True
        return world.row

    assert reader.read("k", load_while_it_stops).body == b"v1"
    world.row, world.epoch = b"v2", 2
    world.clock.now += LEASE
    world.redis.go_on()  # stores v1 now, under epoch 1
    assert world.redis.data["k"] == b"1\nv1"
    late = world.process()
    assert world.read(late)[0] == b"v2"


def test_silent_redis_is_asked_once_and_then_left_alone_until_it_answers(world: World) -> None:
    one = world.process()
    world.redis.stopped = True
    assert world.read(one) == (b"v1", "bypass")
    assert world.read(one) == (b"v1", "bypass")
    assert len(world.redis.late) == 1
    assert not one.probe()
    world.redis.go_on()
    assert world.read(one)[1] == "bypass"
    assert one.probe()
    assert world.read(one)[1] != "bypass"


def test_mark_of_a_write_that_redis_got_late_is_taken_back(world: World) -> None:
    one = world.process()
    world.redis.stopped = True
    assert one.fence(["k"]) is None
    world.redis.go_on()
    assert world.redis.data["k:lease"].startswith("w:")
    assert one.probe()
    assert one.probe()
    assert "k:lease" not in world.redis.data


def test_what_is_not_there_is_not_cached(world: World) -> None:
    one = world.process()
    assert one.read("k", lambda: None).body is None
    assert "k" not in world.redis.data


def test_miss_beside_a_fill_waits_for_it_and_asks_nobody_else(world: World) -> None:
    filler = world.process()
    answers = []

    def load_while_another_reads() -> bytes:
        waiting = world.process(meanwhile=finish)
        answers.append(waiting.read("k", lambda: pytest.fail("a second query")))
        return world.row

    looks = iter(range(3))

    def finish() -> None:
        if next(looks) < 2:
            return
        token = world.redis.data["k:lease"]
        assert world.redis.eval(cache._FILL, 2, "k", "k:lease", token, b"1\nv1", 1) == 1

    assert filler.read("k", load_while_another_reads).body == b"v1"
    assert [(found.body, found.how) for found in answers] == [(b"v1", "hit")]


def test_one_that_waited_long_enough_asks_for_itself_and_stores_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.0)
    world.redis.data["k:lease"] = "of one that died"
    assert world.read(world.process()) == (b"v1", "miss")
    assert "k" not in world.redis.data


def test_nobody_waits_behind_a_writers_mark(world: World) -> None:
    reader, writer = world.process(), world.process()
    assert writer.fence(["k"])
    assert world.read(reader) == (b"v1", "miss")


def test_one_that_waits_takes_over_when_the_lease_is_given_back(world: World) -> None:
    world.redis.data["k:lease"] = "another's"
    waiting = world.process(meanwhile=lambda: world.redis.data.pop("k:lease"))
    assert world.read(waiting) == (b"v1", "miss")
    assert world.redis.data["k"] == b"1\nv1"


def test_one_that_waits_leaves_the_cache_once_its_epoch_may_be_old(world: World) -> None:
    """Its writer has raised the epoch and acknowledged meanwhile; the fill is under the old one."""

    def a_writer_is_done() -> None:
        world.clock.now += LEASE
        world.redis.data["k"] = b"1\nold"
        del world.redis.data["k:lease"]

    world.redis.data["k:lease"] = "another's"
    assert world.read(world.process(meanwhile=a_writer_is_done)) == (b"v1", "bypass")


@pytest.mark.parametrize("fails", [False, True], ids=["not there", "database down"])
def test_a_load_without_a_value_gives_its_lease_back(world: World, fails: bool) -> None:
    def load() -> None:
        if fails:
            raise ConnectionError

    one = world.process()
    if fails:
        with pytest.raises(ConnectionError):
            one.read("k", load)
    else:
        assert one.read("k", load).body is None
    assert world.redis.data == {}
