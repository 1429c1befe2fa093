"""The backend's cache rules: epoch, leases, marks, and what happens when Redis is silent."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401
from infraforge.selftests.backend_model import Clock, ScriptedRedis

cache = importlib.import_module("infraforge_backend.cache")
epoch = importlib.import_module("infraforge_backend.epoch")

LEASE = 2.0


class World:
    """One Redis, one row in the database, and any number of processes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.redis = ScriptedRedis()
        self.row: bytes | None = b"v1"
        self.epoch = 1

    def process(self, meanwhile: Callable[[], None] | None = None) -> Any:
        """A process. meanwhile: what happens each time it waits for another's fill."""

        def pause(seconds: float) -> None:
            assert meanwhile, "it waits, and nothing would ever happen"
            meanwhile()

        knowledge = epoch.EpochKnowledge(LEASE, self.clock)
        knowledge.seen(self.epoch, self.clock.now, self.redis.run_id)
        made = cache.Cache(knowledge, 60, pause)
        made.use(self.redis)
        made.knowledge = knowledge
        return made

    def hold(self, token: str) -> None:
        """Let another reader have the lease."""
        self.redis.server.zadd("k:lease", {token: 10**15})

    def read(self, process: Any) -> tuple[bytes | None, str]:
        answer = process.read("k", lambda: self.row)
        return answer.body, answer.how


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
        mark = writer.fence(["k"], world.redis.run_id)
        world.row = b"v2"
        assert writer.release(["k"], mark, world.redis.run_id)
        return old

    assert reader.read("k", load_slowly).body == b"v1"  # it overlapped the write
    assert world.read(reader) == (b"v2", "miss")


def test_reader_that_comes_between_fence_and_commit_fills_nothing(world: World) -> None:
    reader, writer = world.process(), world.process()
    world.read(reader)
    mark = writer.fence(["k"], world.redis.run_id)
    assert world.read(reader) == (b"v1", "miss")
    world.row = b"v2"  # commit; suppose the writer dies here: no release
    assert world.read(reader) == (b"v2", "miss")
    assert writer.release(["k"], mark, world.redis.run_id)
    assert world.read(reader) == (b"v2", "miss")
    assert world.read(reader) == (b"v2", "hit")


def test_release_leaves_another_writers_mark(world: World) -> None:
    one, two, reader = world.process(), world.process(), world.process()
    first = one.fence(["k"], world.redis.run_id)
    two.fence(["k"], world.redis.run_id)
    assert one.release(["k"], first, world.redis.run_id)
    world.read(reader)
    assert world.read(reader)[1] == "miss"


def test_commit_while_redis_is_stopped_leaves_no_old_value(world: World) -> None:
    writer, other = world.process(), world.process()
    assert world.read(other) == (b"v1", "miss")
    world.redis.stopped = True
    assert writer.fence(["k"], world.redis.run_id) is None
    world.row, world.epoch = b"v2", 2  # in one transaction
    world.clock.now += LEASE  # the writer waits, then acknowledges
    world.redis.go_on()
    assert world.read(other) == (b"v2", "bypass")  # has not looked since: leaves the cache alone
    other.knowledge.seen(world.epoch, world.clock.now, world.redis.run_id)
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
    assert world.redis.server.get("k") == b"1\nv1"
    late = world.process()
    assert world.read(late)[0] == b"v2"


def test_a_silent_redis_is_tried_once_and_then_skipped_until_it_answers(world: World) -> None:
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
    assert one.fence(["k"], world.redis.run_id) is None
    world.redis.go_on()
    assert world.redis.holders()[0].startswith("w:")
    assert one.probe()
    assert one.probe()
    assert world.redis.holders() == []


def test_absence_is_cached_like_presence(world: World) -> None:
    one, two = world.process(), world.process()
    reads = [process.read("k", lambda: None) for process in (one, two)]
    assert [(each.body, each.how) for each in reads] == [(None, "miss"), (None, "hit")]


def test_a_new_value_replaces_a_cached_absence_at_once(world: World) -> None:
    one, two = world.process(), world.process()
    world.row = None
    assert world.read(one) == (None, "miss")
    mark = two.fence(["k"], world.redis.run_id)
    world.row = b"v1"
    assert two.release(["k"], mark, world.redis.run_id)
    assert world.read(one) == (b"v1", "miss")
    assert world.read(one) == (b"v1", "hit")


def test_absence_read_before_something_is_put_there_is_not_stored(world: World) -> None:
    reader, writer = world.process(), world.process()

    def load_slowly() -> None:
        assert writer.release(["k"], writer.fence(["k"], world.redis.run_id), world.redis.run_id)

    assert reader.read("k", load_slowly).body is None
    world.row = b"v1"
    assert world.read(reader) == (b"v1", "miss")


def test_concurrent_reads_of_an_absent_key_are_one_query() -> None:
    """And none of them holds its thread longer than that query takes."""
    world, readers, queries = World(), 8, []
    started, answers = threading.Barrier(readers), []

    def load() -> None:
        queries.append(1)
        threading.Event().wait(0.2)

    def ask() -> None:
        process = world.process(meanwhile=lambda: threading.Event().wait(0.02))
        started.wait(10)
        began = time.monotonic()
        answers.append((process.read("k", load).body, time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(queries) == 1
    assert [body for body, _ in answers] == [None] * readers
    assert max(seconds for _, seconds in answers) < 4 * 0.2 + 1  # one by one: 8 times


def test_a_miss_during_a_fill_waits_for_it(world: World) -> None:
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
        (token,) = world.redis.holders()
        fill = cache.scripts.FILL
        assert world.redis.eval(None, fill, ["k", "k:lease"], token, b"1\nv1", 1000) == 1

    assert filler.read("k", load_while_another_reads).body == b"v1"
    assert [(answer.body, answer.how) for answer in answers] == [(b"v1", "hit")]


def test_a_reader_that_waited_too_long_reads_the_database_and_stores_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.0)
    world.hold("of one that died")
    assert world.read(world.process()) == (b"v1", "miss")
    assert world.redis.server.get("k") is None


def test_nobody_waits_behind_a_writers_mark(world: World) -> None:
    reader, writer = world.process(), world.process()
    assert writer.fence(["k"], world.redis.run_id)
    assert world.read(reader) == (b"v1", "miss")


def test_a_waiting_reader_takes_over_a_released_lease(world: World) -> None:
    world.hold("another's")
    waiting = world.process(meanwhile=lambda: world.redis.server.delete("k:lease"))
    assert world.read(waiting) == (b"v1", "miss")
    assert world.redis.server.get("k") == b"1\nv1"


def test_a_waiting_reader_bypasses_the_cache_once_its_epoch_may_be_old(world: World) -> None:
    """Its writer has raised the epoch and acknowledged meanwhile; the fill is under the old one."""

    def a_writer_is_done() -> None:
        world.clock.now += LEASE
        world.redis.server.set("k", b"1\nold")
        world.redis.server.delete("k:lease")

    world.hold("another's")
    assert world.read(world.process(meanwhile=a_writer_is_done)) == (b"v1", "bypass")


def test_a_failed_load_releases_its_lease(world: World) -> None:
    def load() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        world.process().read("k", load)
    assert world.redis.server.keys() == []


def test_concurrent_writers_have_a_mark_each(world: World) -> None:
    """The one that ends first leaves the other's fence, and so nothing old when that one dies."""
    one, two, reader = world.process(), world.process(), world.process()
    first, second = one.fence(["k"], world.redis.run_id), two.fence(["k"], world.redis.run_id)
    assert sorted(world.redis.holders()) == sorted([first, second])
    world.row = b"v2"
    assert two.release(["k"], second, world.redis.run_id)
    assert world.redis.holders() == [first]
    assert world.read(reader) == (b"v2", "miss")
    world.row = b"v3"  # committed by the first, which dies before its release
    assert world.read(reader) == (b"v3", "miss")
    world.redis.put_forward(cache.FENCE_MS / 1000)
    assert world.read(reader) == (b"v3", "miss")
    assert world.read(reader) == (b"v3", "hit")


def test_a_dead_writers_mark_ends_though_others_come_and_go(world: World) -> None:
    world.process().fence(["k"], world.redis.run_id)
    other = world.process()
    for _ in range(3):
        world.redis.put_forward(8.0)
        assert other.release(["k"], other.fence(["k"], world.redis.run_id), world.redis.run_id)
    assert world.redis.holders() == []


def test_a_late_release_ends_the_lease_that_was_taken_after_its_mark_ran_out(world: World) -> None:
    writer, reader = world.process(), world.process()
    mark = writer.fence(["k"], world.redis.run_id)
    world.redis.put_forward(cache.FENCE_MS / 1000)

    def load_slowly() -> bytes:
        old = world.row
        world.row = b"v2"
        assert writer.release(["k"], mark, world.redis.run_id)
        return old

    assert reader.read("k", load_slowly).body == b"v1"
    assert world.read(reader) == (b"v2", "miss")
