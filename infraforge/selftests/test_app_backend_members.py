"""PostgreSQL's members: whom a process asks first, whom it leaves alone, and what all of them said.

The order is tried with members that are made of a few values; following a promotion with two real
servers, where this machine has PostgreSQL.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401
from infraforge.selftests.backend_world import Server, programs

psycopg = importlib.import_module("psycopg")
psycopg_pool = importlib.import_module("psycopg_pool")
members = importlib.import_module("infraforge_backend.members")
heartbeat = importlib.import_module("infraforge_backend.heartbeat")

STANDBY = 'connection to server at "10.0.0.2", port 5432 failed: server is in hot standby mode'
NO_SUCH_LOGIN = (
    'connection to server at "10.0.0.2", port 5432 failed: FATAL:  role "v-1" does not exist'
)
REFUSED = 'connection to server at "10.0.0.1", port 5432 failed: Connection refused'
STARTING = (
    'connection to server at "10.0.0.1", port 5432 failed: '
    "FATAL:  the database system is starting up"
)


class Hosts:
    """Members that answer as they are told. says: host → "" for writes, words, or silence in s."""

    def __init__(self, **says: str | float) -> None:
        self.says = says
        self.now = 100.0
        self.asked: list[str] = []

    def connect(self, host: str, **_: Any) -> str:
        self.asked.append(host)
        said = self.says[host]
        if isinstance(said, float):
            self.now += said
            raise psycopg.errors.ConnectionTimeout("connection timeout expired")
        if said:
            raise psycopg.OperationalError(said)
        return host

    def begin(self) -> Any:
        return members.Members(list(self.says), lambda: self.now)


def test_who_was_primary_is_asked_first_from_then_on() -> None:
    hosts = Hosts(a=STANDBY, b=STANDBY, c="")
    one = hosts.begin()
    assert one.connect(hosts.connect) == "c"
    assert one.connect(hosts.connect) == "c"
    assert hosts.asked == ["a", "b", "c", "c"]
    hosts.says.update(c=STANDBY, b="")
    assert one.connect(hosts.connect) == "b"
    assert one.primary == "b"


def test_a_silent_member_costs_its_seconds_once() -> None:
    hosts = Hosts(a=2.0, b=STANDBY, c="")
    one = hosts.begin()
    one.connect(hosts.connect)
    hosts.says["c"] = STANDBY
    began = hosts.now
    for _ in range(5):
        with pytest.raises(members.NoPrimary):
            one.connect(hosts.connect)
    assert hosts.now == began  # nobody waited for it again
    hosts.says["a"] = ""
    hosts.now += members.AVOIDED
    assert one.connect(hosts.connect) == "a"


def test_where_all_are_silent_all_are_asked() -> None:
    hosts = Hosts(a=2.0, b=2.0)
    one = hosts.begin()
    for _ in range(2):
        with pytest.raises(members.NoPrimary):
            one.connect(hosts.connect)
    assert hosts.asked == ["a", "b", "a", "b"]


def test_one_that_refuses_is_asked_each_time() -> None:
    hosts = Hosts(a=REFUSED, b=STANDBY)
    one = hosts.begin()
    for _ in range(2):
        with pytest.raises(members.NoPrimary, match=r"a: .*refused.*; b: .*standby"):
            one.connect(hosts.connect)
    assert hosts.asked == ["a", "b", "a", "b"]


def test_a_single_member_says_what_it_says() -> None:
    hosts = Hosts(a=REFUSED)
    with pytest.raises(psycopg.OperationalError) as told:
        hosts.begin().connect(hosts.connect)
    assert not isinstance(told.value, members.NoPrimary)
    assert str(told.value) == REFUSED


def test_names_are_read_from_one_line() -> None:
    assert members.Members.of("a, b,c").order() == ["a", "b", "c"]
    assert members.Members.of("a").several is False


@pytest.mark.parametrize(
    ("said", "login", "everybody"),
    [
        ((NO_SUCH_LOGIN, NO_SUCH_LOGIN), True, False),
        # a standby has heard of the login: the one that has not lags behind
        ((NO_SUCH_LOGIN, STANDBY), False, False),
        # who is not there says nothing about it
        ((NO_SUCH_LOGIN, REFUSED), True, False),
        ((REFUSED, STANDBY), False, False),
        ((STARTING, STARTING), False, True),
        ((STARTING, REFUSED), False, False),
        ((STARTING, STANDBY), False, False),
    ],
)
def test_what_several_members_say_is_judged_one_by_one(
    said: tuple[str, ...], login: bool, everybody: bool
) -> None:
    errors = {f"m{n}": psycopg.OperationalError(text) for n, text in enumerate(said)}
    error = members.NoPrimary(errors)
    assert heartbeat.refuses_login(error) is login
    assert heartbeat.refuses_everybody(error) is everybody


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and a standby that streams from it."""
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("no PostgreSQL server on this machine")
    with contextlib.ExitStack() as stack:
        primary, standby = (
            # a socket's path has a limit, and is for whoever runs the server to reach
            Server(Path(stack.enter_context(tempfile.TemporaryDirectory())), bin_folder)
            for _ in range(2)
        )
        primary.start()
        stack.callback(over, primary)
        standby.start_from(primary)
        stack.callback(standby.stop)
        yield primary, standby


def over(server: Server) -> None:
    """Stop it, unless the test did."""
    with contextlib.suppress(AssertionError):
        server.stop()


def test_a_pool_follows_a_promotion(pair: tuple[Server, Server]) -> None:
    """Real servers: a primary is asked for, a standby is passed over, and then it is not."""
    primary, standby = pair
    hosts = [str(standby.folder), str(primary.folder)]
    known = members.Members(hosts)
    given = {
        "members": known,
        "user": "postgres",
        "dbname": "postgres",
        "target_session_attrs": "primary",
        "connect_timeout": 2,
        "autocommit": True,
    }
    with psycopg_pool.ConnectionPool(
        connection_class=members.MemberConnection, kwargs=given, min_size=1, max_size=2, timeout=10
    ) as pool:
        with pool.connection() as connection:
            connection.execute("CREATE TABLE t (n integer)")
        assert known.primary == str(primary.folder)
        primary.stop()
        with psycopg.connect(host=hosts[0], user="postgres", autocommit=True) as one:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                one.execute("INSERT INTO t VALUES (0)")
            one.execute("SELECT pg_promote()")
        pool.drain()
        pool.check()
        with pool.connection() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
        assert known.primary == str(standby.folder)
