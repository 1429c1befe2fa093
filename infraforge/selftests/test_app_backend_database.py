"""Reads and writes when PostgreSQL or the connection to it fails."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401

psycopg = importlib.import_module("psycopg")
psycopg_pool = importlib.import_module("psycopg_pool")
config = importlib.import_module("infraforge_backend.config")
database = importlib.import_module("infraforge_backend.database")
deadline = importlib.import_module("infraforge_backend.deadline")
problems = importlib.import_module("infraforge_shared.problems")
naming = importlib.import_module("infraforge_backend.naming")

HELD = naming.HELD

# by SQLSTATE: PostgreSQL's own words for what is its fault, not the statement's
FAULTS = [
    "08000", "08003", "08006",  # connection
    "25006", "25P02", "25P03", "25P04",  # read only, failed, idle, too long
    "40001", "40P01",  # undone
    "53100", "53200", "53300",  # disk, memory, connections
    "55P03",
    "57P01", "57P02", "57P03", "57P05",  # shutdown, crash, starting up, idle
    "58030", "XX000", "XX001",
]  # fmt: skip
UNDONE = ("40001", "40P01")


def error_of(name: str) -> Exception:
    if name in ("InterfaceError", "OperationalError"):
        made: Exception = getattr(psycopg, name)("the connection is lost")
    else:
        made = psycopg.errors.lookup(name)("as PostgreSQL says it")
    return made


class Session:
    """A connection that fails where it is told to. fails: place → error, once each."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.closed = pool, False

    def close(self) -> None:
        self.closed = True

    def at(self, place: str) -> None:
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        errors = self.pool.fails.get(place)
        if errors:
            raise errors.pop(0)

    def execute(self, statement: str) -> Session:
        self.at(statement)
        self.pool.executed.append(statement)
        return self

    def fetchone(self) -> dict[str, str]:
        return {"server": "run-1"}

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.at("begin")
        yield
        self.at("commit")
        self.pool.commits += 1


class Pool:
    def __init__(self, **fails: list[Exception]) -> None:
        self.fails = fails
        self.idle: list[Session] = []
        self.executed: list[str] = []
        self.commits = self.drained = self.made = 0

    def getconn(self) -> Session:
        if errors := self.fails.get("connect"):
            raise errors.pop(0)
        if self.idle:
            return self.idle.pop()
        self.made += 1
        return Session(self)

    def putconn(self, session: Session) -> None:
        if not session.closed:
            self.idle.append(session)

    def drain(self) -> None:
        self.drained += 1
        self.idle.clear()


class Cache:
    """Confirms what it is told to."""

    def __init__(self, fences: bool = True, releases: bool = True) -> None:
        self.fences, self.releases = fences, releases
        self.released: list[str] = []

    def fence(self, keys: object, server: str) -> str | None:
        assert server == "run-1"
        return "w:1" if self.fences else None

    def release(self, keys: object, mark: str, server: str) -> bool:
        assert server == "run-1"
        self.released.append(mark)
        return self.releases


def made(
    pool: Pool, cache: Cache | None = None, pause: Callable[[float], None] | None = None
) -> Any:
    paused = pause or (lambda _: None)
    opened = database.Database(config.Config(), cache or Cache(), deadline.Watchdog(), paused)
    opened._pool = pool
    return opened


def test_naming_the_caches_server_costs_a_write_one_statement_and_a_read_none() -> None:
    """Whether there is one Redis or several; a write that invalidates nothing is as before."""
    pool = Pool()
    one = made(pool)
    one.write(["k", "l"], lambda c: c.execute("change"))
    one.write((), lambda c: c.execute("create"))
    one.read(lambda c: c.execute("look"))
    assert pool.executed == [HELD, "change", "create", "look"]
    assert pool.made == 1


@pytest.mark.parametrize("name", [*FAULTS, "InterfaceError", "OperationalError"])
def test_a_fault_loses_the_connection_but_not_the_change(name: str) -> None:
    pool = Pool(change=[error_of(name)])
    assert made(pool).write(["k"], lambda c: c.execute("change")) is not None
    assert pool.executed == [HELD, HELD, "change"]
    assert pool.commits == 1
    assert (pool.made, pool.drained) == ((1, 0) if name in UNDONE else (2, 1))


@pytest.mark.parametrize("name", [*FAULTS, "InterfaceError", "OperationalError"])
@pytest.mark.parametrize("reads", [False, True], ids=["write", "read"])
def test_a_fault_that_stays_is_unavailable(name: str, reads: bool) -> None:
    """503, nothing changed, and no connection that failed is used again."""
    pool, cache = Pool(change=[error_of(name), error_of(name)]), Cache()
    one = made(pool, cache)
    ask = one.read if reads else functools.partial(one.write, ["k"])
    with pytest.raises(problems.Unavailable) as told:
        ask(lambda c: c.execute("change"))
    assert told.value.status == 503
    assert pool.commits == 0
    assert cache.released == ([] if reads else ["w:1", "w:1"])
    assert bool(pool.idle) == (name in UNDONE)


def test_a_pool_that_has_no_connection_is_unavailable() -> None:
    for fails in ([psycopg_pool.PoolTimeout()], [psycopg.OperationalError("refused")] * 2):
        with pytest.raises(problems.Unavailable):
            made(Pool(connect=fails)).read(lambda c: c.execute("look"))


def test_errors_of_a_statement_are_not_hidden() -> None:
    for name in ("42703", "22001", "23505"):
        with pytest.raises(psycopg.Error) as told:
            made(Pool(change=[error_of(name)])).write((), lambda c: c.execute("change"))
        assert told.value.sqlstate == name


@pytest.mark.parametrize("name", [*FAULTS, "InterfaceError", "OperationalError"])
def test_a_session_that_ends_inside_commit_leaves_the_outcome_unknown(name: str) -> None:
    """Neither done nor undone, and not tried again; the mark stays, the connection goes."""
    pool, cache = Pool(commit=[error_of(name)]), Cache()
    with pytest.raises(problems.OutcomeUnknown) as told:
        made(pool, cache).write(["k"], lambda c: c.execute("change"))
    assert told.value.status == 503
    assert "unknown" in told.value.detail
    assert pool.executed == [HELD, "change"]
    assert (pool.idle, cache.released) == ([], [])


def test_a_commit_that_the_server_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_commit_was_refused", lambda error: True)
    pool = Pool(commit=[error_of("40001")])
    made(pool).write(["k"], lambda c: c.execute("change"))
    assert pool.executed == [HELD, "change"] * 2
    assert pool.commits == 1


def test_an_error_without_the_servers_message_is_not_a_refusal() -> None:
    assert not database._commit_was_refused(error_of("40001"))
    assert not database._commit_was_refused(error_of("OperationalError"))


@pytest.mark.parametrize("fences", [False, True], ids=["fence fails", "release fails"])
def test_a_writer_that_raised_the_epoch_asks_the_same_session_again(fences: bool) -> None:
    waited: list[float] = []
    pool = Pool()
    made(pool, Cache(fences=fences, releases=False), waited.append).write(
        ["k"], lambda c: c.execute("change")
    )
    assert waited == [config.Config().lease_seconds]
    assert pool.executed == [HELD, "change", database._RAISE_EPOCH, "SELECT 1"]
    assert pool.made == 1


@pytest.mark.parametrize("fences", [False, True], ids=["fence fails", "release fails"])
def test_a_writer_whose_session_ended_while_it_waited_acknowledges_nothing(fences: bool) -> None:
    """PostgreSQL was gone perhaps, and others may serve what was cached before."""
    pool = Pool(**{"SELECT 1": [error_of("57P01")]})
    with pytest.raises(problems.OutcomeUnknown):
        made(pool, Cache(fences=fences, releases=False)).write(["k"], lambda c: c.execute("change"))
    assert pool.idle == []


@pytest.mark.parametrize("name", ["25006", "57P01", "42501"])
def test_an_epoch_that_cannot_be_raised_leaves_the_outcome_unknown(name: str) -> None:
    """The change is committed, and nobody may be told so."""
    pool = Pool(**{database._RAISE_EPOCH: [error_of(name), error_of(name)]})
    with pytest.raises(problems.OutcomeUnknown):
        made(pool, Cache(releases=False)).write(["k"], lambda c: c.execute("change"))


def test_connections_are_to_a_primary() -> None:
    """A standby would show an epoch, and rows, from before."""
    found = database.parameters(config.Config(), database.Login("v-1", "secret"))
    assert found["target_session_attrs"] == "primary"
