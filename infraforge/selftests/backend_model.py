"""Backend processes, a Redis and a PostgreSQL, simulated step by step on a clock set by hand.

The processes run the application's own cache, epoch and database code and its own Lua scripts.
Each operation is a greenlet. It gives way before everything that others can see or get between: a
script, a statement, a COMMIT, a wait. So an order of steps is a plain value, and can be searched.

PostgreSQL is a model: one row, the epoch, sessions that end with it. Redis is a server where one
is given, else `fakeredis`, which runs the scripts in a real Lua.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import greenlet

from infraforge.selftests import apps  # noqa: F401

redis = importlib.import_module("redis")
psycopg = importlib.import_module("psycopg")
psycopg_pool = importlib.import_module("psycopg_pool")
absence = importlib.import_module("infraforge_backend.absence")
cache = importlib.import_module("infraforge_backend.cache")
config = importlib.import_module("infraforge_backend.config")
database = importlib.import_module("infraforge_backend.database")
deadline = importlib.import_module("infraforge_backend.deadline")
epoch = importlib.import_module("infraforge_backend.epoch")
problems = importlib.import_module("infraforge_shared.problems")

LEASE = 2.0
TTL = 60.0
TRANSACTION = 10.0  # seconds after which the server ends one


class Clock:
    """A simulated clock, and the callbacks to run as it advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ScriptedRedis:
    """A Redis that can stop (it then gets commands, and executes them when it goes on) and whose
    clock can be put forward."""

    def __init__(self, server: Any = None) -> None:
        self.server = server or fakeredis.FakeRedis(server=fakeredis.FakeServer())
        self.server.flushall()
        self.stopped = False
        self.late: list[Callable[[], object]] = []

    def eval(self, script: str, count: int, *rest: Any) -> object:
        return self._answer(lambda: self.server.eval(script, count, *rest))

    def ping(self) -> bool:
        return bool(self._answer(self.server.ping))

    def close(self) -> None: ...

    def go_on(self) -> None:
        self.stopped = False
        for command in self.late:
            command()
        self.late.clear()

    def forget(self) -> None:
        """Be another process, with nothing in its memory."""
        self.server.flushall()
        self.late.clear()
        self.stopped = False

    def put_forward(self, seconds: float) -> None:
        """As if so many seconds had passed: ends of keys and of holders come nearer."""
        ms = round(seconds * 1000)
        for key in self.server.keys("*"):
            if self.server.type(key) == b"zset":
                for holder, end in self.server.zrange(key, 0, -1, withscores=True):
                    self.server.zadd(key, {holder: end - ms})
            left = self.server.pttl(key)
            if 0 <= left <= ms:
                self.server.delete(key)
            elif left > 0:
                self.server.pexpire(key, left - ms)

    def holders(self, key: str = "k") -> list[str]:
        """Who holds the lease of `key`: tokens of readers, marks of writers."""
        return [holder.decode() for holder in self.server.zrange(f"{key}:lease", 0, -1)]

    def _answer(self, command: Callable[[], object]) -> object:
        if self.stopped:
            self.late.append(command)
            raise redis.TimeoutError
        return command()


def give_way(where: str) -> None:
    """Let others run; the operation goes on when it is resumed."""
    current = greenlet.getcurrent()
    if isinstance(current, Operation):
        current.parent.switch(where)


class Operation(greenlet.greenlet):
    """One piece of work of one process. at: where it gave way; "" once it is over."""

    def __init__(self, process: Any, work: Callable[[], None]) -> None:
        super().__init__()
        self.process = process
        self.work = work
        self.at = "begin"

    def run(self) -> None:
        self.work()

    def step(self) -> None:
        self.at = self.switch() or ""

    def abandon(self) -> None:
        """Its process is killed: it does nothing more."""
        self.throw()
        self.at = ""


class Session:
    """A session with PostgreSQL, as a connection of psycopg's that the application works with."""

    def __init__(self, server: Postgres) -> None:
        self.server, self.alive, self.pending, self.raises = server, True, None, 0
        self.began: float | None = None

    @property
    def closed(self) -> bool:
        return not self.alive

    def close(self) -> None:
        self.alive = False
        self.server.unlock(self)

    def execute(self, statement: str) -> Session:
        give_way(statement.split(maxsplit=1)[0].lower())
        self.answer()
        if statement == database._RAISE_EPOCH:
            if self.began is None:
                self.server.epoch += 1
            else:
                self.raises += 1
        return self

    def answer(self) -> None:
        if not self.alive:
            raise psycopg.OperationalError("the connection is lost")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.answer()
        self.began, self.pending, self.raises = self.server.clock.now, None, 0
        try:
            yield
            give_way("commit")
            self.answer()
            if self.pending is not None:
                self.server.rows.append(self.pending)
            self.server.epoch += self.raises
            give_way("committed")
            self.answer()  # the server's answer may be lost
        finally:
            self.began = None
            self.server.unlock(self)

    def change(self, present: bool) -> int:
        """Lock the row and change it; the number of the change."""
        give_way("change")
        self.answer()
        while self.server.locked not in (None, self):
            give_way("locked out")
            self.answer()
        self.server.locked = self
        self.pending = present
        return len(self.server.rows)


class Postgres:
    """One row as all it ever was: whether it was there, change by change; and the epoch."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows = [False, True]  # content is the change's number: none is like another
        self.epoch = 1
        self.up = True
        self.locked: Session | None = None
        self.sessions: list[Session] = []

    @property
    def newest(self) -> int:
        return len(self.rows) - 1

    def body(self, number: int) -> bytes | None:
        return str(number).encode() if self.rows[number] else None

    def connect(self) -> Session:
        if not self.up:
            raise psycopg_pool.PoolTimeout
        self.sessions = [*(session for session in self.sessions if session.alive), Session(self)]
        return self.sessions[-1]

    def unlock(self, session: Session) -> None:
        if self.locked is session:
            self.locked = None

    def crash(self) -> None:
        self.up = False
        for session in self.sessions:
            session.close()

    def end_what_takes_too_long(self) -> None:
        for session in self.sessions:
            if session.began is not None and self.clock.now - session.began >= TRANSACTION:
                session.close()


class Pool:
    """A session for each who asks: what a pool keeps for later is of no interest here."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    def getconn(self) -> Session:
        return self._server.connect()

    def putconn(self, session: Session) -> None:
        session.close()

    def drain(self) -> None: ...


class Process:
    """A process of the backend. cut: whether it does not reach Redis."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cut = False
        self.answered = world.clock.now
        self.knowledge = epoch.EpochKnowledge(LEASE, world.clock)
        self.cache = cache.Cache(self.knowledge, TTL, world.sleep)
        self.cache.use(self)
        settings = config.Config(lease_seconds=LEASE)
        watchdog = deadline.Watchdog()
        self.database = database.Database(settings, self.cache, watchdog, world.sleep)
        self.database._pool = Pool(world.postgres)
        self.absence = absence.AbsencePulse(
            self.knowledge,
            lambda: world.clock.now - self.answered,
            lambda: ["10.0.0.1"],
            self._refuses,
        )

    # what the cache takes for its client

    def eval(self, script: str, count: int, *rest: Any) -> object:
        give_way("script")
        self._reach()
        return self._world.redis.eval(script, count, *rest)

    def ping(self) -> bool:
        self._reach()
        return self._world.redis.ping()

    def close(self) -> None: ...

    def _reach(self) -> None:
        if self.cut:
            raise redis.ConnectionError

    def _refuses(self, _: str) -> bool:
        give_way("proof")
        return not self._world.postgres.up

    # what a process does

    def beat(self) -> None:
        """One beat of each pulse: look at the epoch, else for a proof that nobody can."""
        asked = self.knowledge.now()
        give_way("look")
        if self._world.postgres.up:
            seen = self._world.postgres.epoch
            give_way("seen")
            self.knowledge.seen(seen, asked)
            self.answered = asked
        else:
            self.absence.beat()

    def read(self) -> bytes | None:
        """The row's body, by the cache. Unavailable as the application says it."""

        def load() -> bytes | None:
            def select(session: Session) -> bytes | None:
                session.execute("SELECT body")
                return self._world.postgres.body(self._world.postgres.newest)

            return self.database.read(select)

        return self.cache.read("k", load).body

    def write(self, present: bool, fenced: bool = True) -> int:
        """Change the row; the number of the change, acknowledged."""
        keys = ["k"] if fenced else []
        return self.database.write(keys, lambda session: session.change(present))


class World:
    """One Redis, one PostgreSQL, processes, and the operations that are under way."""

    def __init__(self, server: Any = None, processes: int = 2) -> None:
        self.clock = Clock()
        self.redis = ScriptedRedis(server)
        self.postgres = Postgres(self.clock)
        self.operations: list[Operation] = []
        self.processes = [Process(self) for _ in range(processes)]
        for process in self.processes:
            process.beat()

    def sleep(self, seconds: float) -> None:
        """What a process does instead of sleeping."""
        end = self.clock.now + seconds
        while True:
            give_way("asleep")
            if self.clock.now >= end:
                return

    def begin(self, process: Process, work: Callable[[], None]) -> Operation:
        made = Operation(process, work)
        self.operations.append(made)
        return made

    def step(self, operation: Operation) -> None:
        """Let it go on to where it gives way next."""
        operation.step()
        if not operation.at:
            self.operations.remove(operation)

    def run(self, operation: Operation) -> None:
        """Step until it cannot go on by itself, or is over."""
        while True:
            self.step(operation)
            if operation.at in ("", "asleep", "locked out"):
                return

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.redis.put_forward(seconds)
        self.postgres.end_what_takes_too_long()

    def kill(self, process: Process) -> Process:
        """End the process with all that it has under way; another takes its place."""
        for operation in self.operations:
            if operation.process is process:
                operation.abandon()
        self.operations = [each for each in self.operations if each.at]
        made = Process(self)
        self.processes[self.processes.index(process)] = made
        return made

    def end(self) -> None:
        for operation in self.operations:
            operation.abandon()
        self.operations.clear()
