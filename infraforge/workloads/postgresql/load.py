"""Writers and readers straight at the members, all recorded, each answer with who gave it.

    load = Load(members)
    load.prepare()
    with load:
        load.until(acknowledged=200)
    history = load.history + load.read_every_member(within=60)

What each does, for `checkers`:

    add           a new element into the set `set`               acknowledged, phantom, timelines
    write, read   registers `register-N`, by a primary           stale, timelines
    standby_read  the same registers, by a standby where there is one; binds nobody
"""

from __future__ import annotations

import functools
import itertools
import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import LiteralString

import psycopg

from infraforge.errors import ClusterError
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.wait import Deadline, wait_until
from infraforge.workloads.crew import Crew
from infraforge.workloads.postgresql.answers import Failed, Unsure
from infraforge.workloads.postgresql.members import Members, Session

SET = "set"
_Do = Callable[[Session, str], None]
"""What a thread does again and again, with a register that it may use."""
SCHEMA = "infraforge_load"
_TABLES: tuple[LiteralString, ...] = (
    "CREATE TABLE IF NOT EXISTS infraforge_load.elements (element bigint PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS infraforge_load.registers"
    " (name text PRIMARY KEY, version bigint NOT NULL, content text NOT NULL)",
    "TRUNCATE infraforge_load.elements, infraforge_load.registers",
)
_HAS_SCHEMA: LiteralString = "SELECT 1 FROM pg_namespace WHERE nspname = 'infraforge_load'"
_ADD: LiteralString = "INSERT INTO infraforge_load.elements VALUES (%s) RETURNING element,"
_WRITE: LiteralString = (
    "INSERT INTO infraforge_load.registers AS r VALUES (%s, 1, %s)"
    " ON CONFLICT (name) DO UPDATE SET version = r.version + 1, content = excluded.content"
    " RETURNING version, content,"
)
_READ: LiteralString = (  # one row also where there is no such register; one snapshot
    "SELECT (SELECT version FROM infraforge_load.registers WHERE name = %s),"
    " (SELECT content FROM infraforge_load.registers WHERE name = %s),"
)
_READ_ALL: LiteralString = (
    "SELECT array(SELECT element FROM infraforge_load.elements ORDER BY element),"
)
_WRITTEN: LiteralString = "SELECT pg_current_wal_flush_lsn()::text,"
_REPLAYED: LiteralString = (
    "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %s::pg_lsn,"
)
_NOT_DONE = (Failed, Unsure)


class Load(Crew):
    """Each a thread with a session of its own.

    adders, writers, readers, standby_readers: how many; registers: how many are written to;
    pace: mean seconds between two operations of a thread; timeout: seconds for one answer;
    seed: of what each thread does next.
    """

    def __init__(
        self,
        members: Members,
        *,
        adders: int = 2,
        writers: int = 1,
        readers: int = 1,
        standby_readers: int = 0,
        registers: int = 2,
        pace: float = 0.01,
        timeout: float = 5.0,
        seed: int | None = None,
    ) -> None:
        self.seed = secrets.randbits(31) if seed is None else seed
        self._members = members
        self._registers = registers
        self._timeout = timeout
        self._recorder = Recorder()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._acknowledged: Counter[str] = Counter()
        self._sessions: list[Session] = []
        roles: tuple[tuple[str, _Do, int, str], ...] = (
            ("adder", self._add, adders, "read-write"),
            ("writer", self._write, writers, "read-write"),
            ("reader", self._read, readers, "read-write"),
            ("standby-reader", self._read_standby, standby_readers, "prefer-standby"),
        )
        tasks = {
            f"{role}-{number}": self._task(f"{role}-{number}", do, attributes)
            for role, do, count, attributes in roles
            for number in range(count)
        }
        chance = random.Random(self.seed)  # noqa: S311
        super().__init__(tasks, pause=lambda: chance.uniform(0, 2 * pace))
        print(f"PostgreSQL load: seed {self.seed}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            for session in self._sessions:
                session.close()

    @property
    def history(self) -> History:
        """What was done and seen so far."""
        return self._recorder.history

    def prepare(self) -> None:
        """Make empty tables. Raises ClusterError where no primary takes them."""
        try:
            with psycopg.connect(**self._members.parameters("read-write")) as connection:
                if not connection.execute(_HAS_SCHEMA).fetchone():
                    connection.execute("CREATE SCHEMA infraforge_load")
                for statement in _TABLES:
                    connection.execute(statement)
        except psycopg.Error as error:
            raise ClusterError(f"no primary takes the load's tables: {error}") from error

    def until(self, *, acknowledged: int, within: float = 60.0, broken: bool = False) -> None:
        """Go on until so many more elements are acknowledged.

        broken: that they come within this time was promised. Raises TimedOut, or Late where
        promised; Inconclusive when the load itself fails.
        """
        goal = self.acknowledged + acknowledged

        def enough() -> bool:
            self.complain()
            return self.acknowledged >= goal

        what = f"{acknowledged} more acknowledged elements (seed {self.seed})"
        wait_until(enough, within, every=0.05, what=what, broken=broken)

    def read_every_member(self, within: float) -> History:
        """The whole set from each member, once it has replayed what the primary has written.

        within: seconds for all. To be called after the block. Raises TimedOut where one of
        them does not answer in time.
        """
        recorder, deadline = Recorder(), Deadline(within)
        with self._members.session("read-write", self._timeout) as primary:
            rows, _ = wait_until(
                lambda: primary.ask(_WRITTEN),
                deadline,
                ignoring=_NOT_DONE,
                what="a primary says how far it has written",
            )
        for member in self._members.members:
            with self._members.only(member.name).session("any", self._timeout) as session:
                wait_until(
                    functools.partial(_has_replayed, session, rows[0][0]),
                    deadline,
                    ignoring=_NOT_DONE,
                    what=f"{member.short} has replayed {rows[0][0]}",
                )
                process = f"final-{member.short}"
                with recorder.call(process, "read", SET) as call:
                    # none may be missing: the others would be judged as if they were all
                    found, origin = wait_until(
                        functools.partial(session.ask, _READ_ALL),
                        deadline,
                        ignoring=_NOT_DONE,
                        what=f"{member.short} is read",
                    )
                    call.ok(found[0][0], by=origin.to_value())
        return recorder.history

    @property
    def acknowledged(self) -> int:
        """How many elements are acknowledged so far."""
        with self._lock:
            return self._acknowledged["add"]

    def _task(self, name: str, do: _Do, attributes: str) -> Callable[[], None]:
        session = self._members.session(attributes, self._timeout)
        self._sessions.append(session)
        chance = random.Random(f"{self.seed}/{name}")  # noqa: S311
        return lambda: do(session, f"register-{chance.randrange(self._registers)}")

    def _add(self, session: Session, _: str) -> None:
        element = next(self._numbers)
        self._record(session, "add", SET, element, do=(_ADD, (element,)))

    def _write(self, session: Session, name: str) -> None:
        content = f"{self.seed:08x}-{next(self._numbers)}"
        self._record(session, "write", name, content, do=(_WRITE, (name, content)))

    def _read(self, session: Session, name: str) -> None:
        self._record(session, "read", name, None, do=(_READ, (name, name)))

    def _read_standby(self, session: Session, name: str) -> None:
        self._record(session, "standby_read", name, None, do=(_READ, (name, name)))

    def _record(
        self,
        session: Session,
        function: str,
        key: str,
        value: int | str | None,
        *,
        do: tuple[LiteralString, tuple[int | str, ...]],
    ) -> None:
        process = threading.current_thread().name
        with self._recorder.call(
            process, function, key, value, fail=(Failed,), info=(Unsure,)
        ) as call:
            rows, origin = session.ask(*do)
            (row,) = rows
            answer = row[0] if function == "add" or row[0] is None else row
            call.ok(answer, by=origin.to_value())
            with self._lock:
                self._acknowledged[function] += 1


def _has_replayed(session: Session, written: str) -> bool:
    rows, _ = session.ask(_REPLAYED, (written,))
    return bool(rows[0][0])
