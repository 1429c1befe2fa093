"""The name of the cache's server in PostgreSQL: who changes it when, and who holds it as it is."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infraforge.selftests import backend_world as world

psycopg = importlib.import_module("psycopg")
migrations = importlib.import_module("infraforge_backend.migrations")
naming = importlib.import_module("infraforge_backend.naming")

LEASE = 2.0


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


class Session:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self.locked = False

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> None:
        self.asked.append((statement, values))
        if self.locked:
            raise psycopg.errors.LockNotAvailable


class Process:
    """One process' share in the naming."""

    def __init__(self) -> None:
        self.met = "run-1"
        self.clock = Clock()
        self.session = Session()
        self.naming = naming.Naming(lambda: self.met, LEASE, self.clock)

    def beat(self, server: str, turn: int = 0) -> list[tuple[str, tuple[object, ...]]]:
        """A beat over this row; what was asked."""
        self.session.asked.clear()
        self.naming.beat(self.session, naming.Named(1, server, turn))
        return list(self.session.asked)


@pytest.fixture
def process() -> Process:
    return Process()


def test_as_long_as_the_named_server_answers_nothing_is_asked(process: Process) -> None:
    assert [process.beat("run-1") for _ in range(5)] == [[]] * 5


def test_a_server_that_answers_nobody_keeps_its_name(process: Process) -> None:
    """It may come back, and nobody uses it meanwhile."""
    process.met = ""
    assert process.beat("run-1") == []


def test_another_master_ends_the_name_and_only_later_gets_it(process: Process) -> None:
    process.met = "run-2"
    assert process.beat("run-1", 4) == [(naming.FORGET, (4,))]
    assert process.beat("", 5) == []
    process.clock.now += LEASE - 0.01
    assert process.beat("", 5) == []
    process.clock.now += 0.01
    assert process.beat("", 5) == [(naming.NAME, ("run-2", 5))]


def test_time_counts_in_one_session_and_for_one_turn_only(process: Process) -> None:
    """Another session may have come after an outage in which others relied on what they knew."""
    process.beat("", 5)
    process.clock.now += LEASE
    process.session = Session()
    assert process.beat("", 5) == []
    process.clock.now += LEASE
    assert process.beat("", 7) == []  # named and forgotten between two beats
    process.clock.now += LEASE / 2
    assert process.beat("run-3", 8) == [(naming.FORGET, (8,))]
    process.clock.now += LEASE / 2
    assert process.beat("", 9) == []


def test_a_lock_that_others_hold_leaves_it_to_the_next_beat(process: Process) -> None:
    process.beat("", 5)
    process.clock.now += LEASE
    process.session.locked = True
    assert process.beat("", 5) == [(naming.NAME, ("run-1", 5))]
    process.session.locked = False
    assert process.beat("", 5) == [(naming.NAME, ("run-1", 5))]


# on a real PostgreSQL


@pytest.fixture(scope="module")
def running() -> Iterator[world.Server]:
    with world.server() as made:
        yield made


@pytest.fixture
def database(running: world.Server) -> world.Server:
    running.fresh()
    world.Database(running).write((), migrations.apply)
    return running


@contextlib.contextmanager
def session(running: world.Server) -> Iterator[Any]:
    with running.connect(user=world.LOGIN) as made:
        yield made


def forget(connection: Any, turn: int) -> bool:
    return bool(connection.execute(naming.FORGET, (turn,)).fetchone()["forget_cache_server"])


def name(connection: Any, server: str, turn: int) -> bool:
    return bool(connection.execute(naming.NAME, (server, turn)).fetchone()["name_cache_server"])


def test_the_applications_login_changes_the_name(database: world.Server) -> None:
    """With what its migrations made, and nothing more."""
    with session(database) as one:
        first = naming.look(one)
        assert (first.server, first.turn) == ("", 0)
        assert name(one, "run-1", 0)
        assert naming.look(one) == naming.Named(first.epoch, "run-1", 1)
        assert not name(one, "run-2", 1), "a name that was not forgotten was replaced"
        assert forget(one, 1)
        assert naming.look(one) == naming.Named(first.epoch + 1, "", 2)


def test_of_many_that_meet_another_master_one_raises_the_epoch(database: world.Server) -> None:
    with session(database) as one:
        name(one, "run-1", 0)
        before = naming.look(one)

    def try_it() -> bool:
        with session(database) as own:
            return forget(own, before.turn)

    assert sorted(world.at_once(*[try_it] * 6)) == [False] * 5 + [True]
    with session(database) as one:
        assert naming.look(one) == naming.Named(before.epoch + 1, "", before.turn + 1)


def test_nobody_is_named_beside_an_open_transaction_that_fenced(database: world.Server) -> None:
    with session(database) as writer, session(database) as other:
        with writer.transaction():
            assert naming.held(writer) == ""
            began = time.monotonic()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                name(other, "run-1", 0)
            assert time.monotonic() - began < 2.0
        assert name(other, "run-1", 0)


def test_writers_hold_the_name_side_by_side(database: world.Server) -> None:
    with session(database) as one, session(database) as two:
        name(one, "run-1", 0)
        with one.transaction(), two.transaction():
            assert [naming.held(one), naming.held(two)] == ["run-1", "run-1"]


def test_a_writer_that_waited_for_the_naming_reads_the_new_name(database: world.Server) -> None:
    """The row is read after the lock is there, not as it was when the statement began."""
    found: list[str] = []

    def write() -> None:
        with session(database) as writer, writer.transaction():
            found.append(naming.held(writer))

    with session(database) as other:
        with other.transaction():
            assert name(other, "run-1", 0)
            waiting = threading.Thread(target=write)
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive()
        waiting.join(10)
    assert found == ["run-1"]


def test_a_fresh_platform_names_its_server_by_itself(database: world.Server) -> None:
    clock = Clock()
    beats = naming.Naming(lambda: "run-1", LEASE, clock)
    with session(database) as one:
        for _ in range(3):
            beats.beat(one, naming.look(one))
            clock.now += LEASE / 2
        assert naming.look(one).server == "run-1"
