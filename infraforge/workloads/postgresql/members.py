"""The members of a PostgreSQL cluster by name, and sessions with them that end in time.

members = Members((Member("pg-0", port=6001), Member("pg-1", port=6002)), {"dbname": "x"})
with members.session("read-write") as session:
    rows, origin = session.ask("SELECT 1,")
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg

from infraforge.checkers.origin import Origin
from infraforge.workloads.postgresql.answers import (
    WAITS_FOR_STANDBY,
    Unsure,
    meaning,
    reconnects,
)

_CONNECT_SECONDS = 2
"""For each member; libpq knows whole seconds and none below 2."""
_ALIVE: Mapping[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 3_000,  # ms in which what was sent must be acknowledged
}
_LOOKS_EVERY = 0.05

ORIGIN: LiteralString = """
    coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'local'),
    CASE WHEN pg_is_in_recovery()
        THEN greatest(
            (SELECT received_tli FROM pg_stat_wal_receiver),
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
            (SELECT timeline_id FROM pg_control_checkpoint()))
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    END,
    CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
    (SELECT system_identifier::text FROM pg_control_system())"""
"""Four columns that every query of ours ends with, as of the server that runs it: its address,
timeline, role and system.

The timeline of a primary is in the name of the file it writes to; `pg_control_checkpoint` tells
that of the last checkpoint, which the promotion may precede. A standby writes nothing, and refuses
that name. Seen on a standby that followed a promotion: it received timeline 2 while its control
file told 1, as last restart point and as what it must have replayed, until a restart point was
made. What it receives is shown to superusers and pg_read_all_stats only: a standby asked by others
may tell a timeline that is behind, which `checkers.timelines` allows a standby.
"""


def short(name: str) -> str:
    """A host's name up to its first dot."""
    return name.partition(".")[0]


@dataclass(frozen=True)
class Member:
    """name: as its certificate has it; address: where it is reached, where not by its name."""

    name: str
    port: int = 5432
    address: str = ""

    @property
    def short(self) -> str:
        """For people, and for histories: the name up to its first dot."""
        return short(self.name)


@dataclass(frozen=True)
class Members:
    """The members, and how a client gets in: libpq's other connection parameters."""

    members: tuple[Member, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def only(self, name: str) -> Members:
        """One of them alone. Raises KeyError where there is none of that name."""
        found = tuple(member for member in self.members if member.name == name)
        if not found:
            raise KeyError(name)
        return Members(found, self.settings)

    def parameters(self, attributes: str) -> dict[str, Any]:
        """For psycopg.connect. attributes: libpq's `target_session_attrs`."""
        addresses = [member.address for member in self.members]
        found: dict[str, Any] = {
            **self.settings,
            **_ALIVE,
            "host": ",".join(member.name for member in self.members),
            "port": ",".join(str(member.port) for member in self.members),
            "target_session_attrs": attributes,
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "infraforge-load",
        }
        return found | ({"hostaddr": ",".join(addresses)} if all(addresses) else {})

    def session(self, attributes: str, timeout: float = 5.0) -> Session:
        return Session(self, attributes, timeout)


class Session:
    """One client. It connects when asked, and anew after an error that calls for it.

    attributes: libpq's `target_session_attrs`; timeout: seconds for one answer. A frozen server's
    kernel goes on acknowledging, so no keepalive ends that wait: a watchdog shuts the socket.
    Not for two threads.
    """

    def __init__(self, members: Members, attributes: str, timeout: float) -> None:
        self._members = members
        self._attributes = attributes
        self._timeout = timeout
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._socket: socket.socket | None = None
        self._unreplicated = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def member(self) -> str:
        """The member that this session is with, by its short name; "" while it is with none."""
        return "" if self._connection is None else short(self._connection.info.host)

    def close(self) -> None:
        """Leave; the next question connects anew."""
        for closing in (self._connection, self._socket):
            if closing is not None:
                with contextlib.suppress(psycopg.Error, OSError):
                    closing.close()
        self._connection = self._socket = None

    def connect(self) -> str:
        """Connect, unless it is; the member. Raises Failed."""
        if self._connection is None:
            try:
                self._connection = psycopg.connect(
                    **self._members.parameters(self._attributes), autocommit=True
                )
            except psycopg.Error as error:
                raise meaning(error, sent=False) from error
            self._connection.add_notice_handler(self._notice)
            # a number of its own: libpq may close its own at any time, and another gets it
            self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))
        return self.member

    def ask(
        self, statement: LiteralString, values: Sequence[Any] = ()
    ) -> tuple[list[tuple[Any, ...]], Origin]:
        """Run one statement, by itself a transaction. It is to end where a column may follow.

        Returns its rows without these, and who answered. Raises Failed where it surely was not
        done; Unsure where nobody can tell, so also where it was committed but no standby has it,
        and where it brought no row.
        """
        self.connect()
        connection = self._connection
        assert connection is not None
        self._unreplicated = ""
        try:
            with self._in_time():
                rows = connection.execute(statement + ORIGIN, values).fetchall()
        except psycopg.Error as error:
            if reconnects(error) or connection.broken:
                self.close()
            raise meaning(error, sent=True) from error
        if self._unreplicated:
            raise Unsure(self._unreplicated)
        if not rows:
            raise Unsure("no row came back")
        address, timeline, role, system = rows[0][-4:]
        origin = Origin(short(connection.info.host), address, timeline, role, system)
        return [row[:-4] for row in rows], origin

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.source_function == WAITS_FOR_STANDBY:
            self._unreplicated = f"{notice.sqlstate}: {notice.message_primary}"

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        assert self._socket is not None
        _WATCHDOG.add(self._socket, time.monotonic() + self._timeout)
        try:
            yield
        finally:
            _WATCHDOG.remove(self._socket)


class _Watchdog:
    """Shuts sockets whose time is over, from one thread for all of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, float] = {}
        self._waiting = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, watched: socket.socket, end: float) -> None:
        with self._lock:
            self._ends[watched] = end
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="watchdog", daemon=True)
                self._thread.start()

    def remove(self, watched: socket.socket) -> None:
        with self._lock:
            self._ends.pop(watched, None)

    def _go(self) -> None:
        while not self._waiting.wait(_LOOKS_EVERY):
            now = time.monotonic()
            with self._lock:
                for watched in [one for one, end in self._ends.items() if end < now]:
                    del self._ends[watched]
                    with contextlib.suppress(OSError):
                        watched.shutdown(socket.SHUT_RDWR)


_WATCHDOG = _Watchdog()
