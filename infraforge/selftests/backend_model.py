"""Backend processes, a Redis and a PostgreSQL, simulated step by step on a clock set by hand.

The processes run the application's own cache, epoch and database code and its own Lua scripts.
Each operation is a greenlet. It gives way before everything that others can see or get between: a
script, a statement, a COMMIT, a wait. So an order of steps is a plain value, and can be searched.

PostgreSQL is a model: one row, the epoch and the cache's server beside it, sessions that end with
it. Redis is a server if one is given, else `fakeredis`, which runs the scripts in a real Lua.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
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
naming = importlib.import_module("infraforge_backend.naming")
problems = importlib.import_module("infraforge_shared.problems")
servers = importlib.import_module("infraforge_backend.servers")

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
    """A Redis that can stop (it then gets commands, and executes them when it resumes) and whose
    clock can be put forward. A client that is always connected to it."""

    _made = itertools.count(1)

    def __init__(self, server: Any = None) -> None:
        self.server = server or fakeredis.FakeRedis(server=fakeredis.FakeServer())
        self.server.flushdb()
        self.run_id = f"run-{next(self._made)}"
        self.stopped = False
        self.late: list[Callable[[], object]] = []

    def eval(self, server: str | None, script: str, keys: Sequence[str], *rest: Any) -> object:
        if server not in (None, self.run_id):
            raise servers.OtherServer
        return self._answer(lambda: self.server.eval(script, len(keys), *keys, *rest))

    def meet(self, _doubt: bool = False) -> str:
        self._answer(self.server.ping)
        return self.run_id

    def close(self) -> None: ...

    def copy_of(self, other: ScriptedRedis) -> None:
        """Have what the other has: a replica that has caught up."""
        self.server.flushdb()
        for key in other.server.keys("*"):
            left = other.server.pttl(key)
            if other.server.type(key) == b"zset":
                for holder, end in other.server.zrange(key, 0, -1, withscores=True):
                    self.server.zadd(key, {holder: end})
            else:
                self.server.set(key, other.server.get(key))
            if left > 0:
                self.server.pexpire(key, left)

    def go_on(self) -> None:
        self.stopped = False
        for command in self.late:
            command()
        self.late.clear()

    def forget(self) -> None:
        """Be another process, with nothing in its memory."""
        self.server.flushdb()
        self.run_id = f"run-{next(self._made)}"
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
        self.row: dict[str, object] | None = None

    @property
    def closed(self) -> bool:
        return not self.alive

    def close(self) -> None:
        self.alive = False
        self.server.unlock(self)

    def execute(self, statement: str, values: Sequence[object] = ()) -> Session:
        give_way(statement.split(maxsplit=1)[0].lower())
        self.answer()
        server = self.server
        if statement == database._RAISE_EPOCH:
            if self.began is None:
                server.epoch += 1
            else:
                self.raises += 1
        elif statement == naming.HELD:
            server.holding.add(self)
            self.row = {"server": server.named}
        elif statement == naming.LOOK:
            self.row = {"epoch": server.epoch, "server": server.named, "turn": server.turn}
        elif statement == naming.FORGET and values == (server.turn,):
            server.epoch, server.named, server.turn = server.epoch + 1, "", server.turn + 1
        elif statement == naming.NAME and server.holding:
            raise psycopg.errors.LockNotAvailable
        elif statement == naming.NAME and values[1] == server.turn and not server.named:
            server.named, server.turn = str(values[0]), server.turn + 1
        return self

    def fetchone(self) -> dict[str, object] | None:
        return self.row

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
        self.named, self.turn = "", 0
        self.locked: Session | None = None
        self.holding: set[Session] = set()  # the name, until their transactions end
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
        self.holding.discard(session)
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
    """A process of the backend.

    cut: whether it does not reach Redis. pinned: a former master that its connections lead to.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.cut = False
        self.pinned: ScriptedRedis | None = None
        self.session: Session | None = None  # the pulse's
        self.answered = world.clock.now
        self.knowledge = epoch.EpochKnowledge(LEASE, world.clock)
        self.cache = cache.Cache(self.knowledge, TTL, world.sleep)
        self.cache.use(self)
        settings = config.Config(lease_seconds=LEASE)
        watchdog = deadline.Watchdog()
        self.database = database.Database(settings, self.cache, watchdog, world.sleep)
        self.database._pool = Pool(world.postgres)
        self.naming = naming.Naming(lambda: self.cache.met, LEASE, world.clock)
        self.absence = absence.AbsencePulse(
            self.knowledge,
            lambda: world.clock.now - self.answered,
            lambda: ["10.0.0.1"],
            self._refuses,
        )

    # what the cache takes for its client

    def eval(self, server: str | None, script: str, keys: Sequence[str], *rest: Any) -> object:
        give_way("script")
        self._reach()
        return (self.pinned or self._world.redis).eval(server, script, keys, *rest)

    def meet(self, doubt: bool = False) -> str:
        self._reach()
        return (self.pinned or self._world.redis).meet(doubt)

    def close(self) -> None: ...

    def _reach(self) -> None:
        if self.cut:
            raise redis.ConnectionError

    def _refuses(self, _: str) -> bool:
        give_way("proof")
        return not self._world.postgres.up

    # what a process does

    def beat(self) -> None:
        """One beat of the epoch's pulse: look, else look for a proof that nobody can."""
        asked = self.knowledge.now()
        if not self._world.postgres.up:
            give_way("look")
            self.absence.beat()
            return
        if self.session is None or self.session.closed:
            self.session = self._world.postgres.connect()
        row = naming.look(self.session)
        give_way("seen")
        self.naming.beat(self.session, row)
        self.knowledge.seen(row.epoch, asked, row.server)
        self.answered = asked

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
    """A Redis and its replica, one PostgreSQL, processes, and the operations that are under way.

    server, spare: what runs the scripts of either, if not `fakeredis`.
    """

    def __init__(self, server: Any = None, processes: int = 2, spare: Any = None) -> None:
        self.clock = Clock()
        self.redis, self.replica = ScriptedRedis(server), ScriptedRedis(spare)
        self.postgres = Postgres(self.clock)
        self.postgres.named = self.redis.run_id
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
        self.replica.put_forward(seconds)
        self.postgres.end_what_takes_too_long()

    def replicate(self) -> None:
        """The replica catches up."""
        self.replica.copy_of(self.redis)

    def promote(self) -> ScriptedRedis:
        """Make the replica master, with whatever it has; the former master lives on."""
        self.redis, self.replica = self.replica, self.redis
        return self.replica

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
