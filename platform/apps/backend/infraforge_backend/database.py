"""PostgreSQL: a pool that follows the credentials, reads, and writes that invalidate the cache.

A connection is verified against the platform CA and the server's name, works as the tables' owner
(the login role switches by itself), and is ended if it waits too long. It leads to the primary,
whichever of several members that is: a standby would show the past.

An error is a *fault* if the server or the connection is to blame, whatever psycopg calls it: a
session that the server ended, a server that has become read-only, no answer. After a fault the
connection leaves the pool and the work is tried once more on a new one; after that the answer is
Unavailable. A write is tried again only if COMMIT was not sent. If the connection ends inside
COMMIT, nobody can tell what happened, and the client is told just that.

A write that invalidates costs one statement more than its change: it reads the name of the cache's
server, and holds it until the transaction ends (naming.py).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
import psycopg_pool
from infraforge_shared.problems import OutcomeUnknown, Unavailable
from psycopg.rows import dict_row

from infraforge_backend import metrics, naming
from infraforge_backend.cache import FENCE_MS, Cache
from infraforge_backend.config import Config
from infraforge_backend.deadline import Watchdog
from infraforge_backend.members import MemberConnection, Members

log = logging.getLogger(__name__)
T = TypeVar("T")
Connection = psycopg.Connection[dict[str, Any]]

FAULTS = (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError)
"""What psycopg raises for faults of the server or of the connection (see above)."""
# the server rolled the transaction back; the session is still good
_UNDONE = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)

_RAISE_EPOCH = "UPDATE cache_epoch SET epoch = epoch + 1"
_STATEMENT_SECONDS = 5
_TRANSACTION_SECONDS = 10
_READ_SECONDS = _STATEMENT_SECONDS + 0.5
# a mark must outlive the transaction that set it
assert 2 * _TRANSACTION_SECONDS * 1000 <= FENCE_MS
_POOL_SECONDS = 2.0
_SERVER_SETTINGS = " ".join(
    (
        f"-c statement_timeout={_STATEMENT_SECONDS}s",
        f"-c transaction_timeout={_TRANSACTION_SECONDS}s",
        "-c idle_in_transaction_session_timeout=5s",
    )
)


@dataclass(frozen=True)
class Login:
    """A database login. The password appears in no text form."""

    user: str
    password: str = field(repr=False)


def parameters(config: Config, login: Login) -> dict[str, Any]:
    """psycopg's connection parameters, except for the host."""
    return {
        "port": config.postgres_port,
        "dbname": config.postgres_database,
        "user": login.user,
        "password": login.password,
        "sslmode": "verify-full",
        "sslrootcert": config.ca_file,
        "target_session_attrs": "primary",
        "connect_timeout": 3,
        "application_name": config.vault_role,
        "client_encoding": "UTF8",
        "options": _SERVER_SETTINGS,
        "autocommit": True,
        "row_factory": dict_row,
    }


@dataclass(frozen=True)
class Fence:
    """What one attempt at a write fenced. server: a run id. mark: None if it was not confirmed."""

    server: str
    mark: str | None


@contextlib.contextmanager
def not_now(told: logging.Logger) -> Iterator[None]:
    """Drop the block's work if a service is unavailable now: it is done another time."""
    try:
        yield
    except (Unavailable, OutcomeUnknown) as error:
        told.debug("not now: %s", error.detail)


def retire(pool: psycopg_pool.ConnectionPool[Connection]) -> None:
    """Close a pool that lends no more connections; borrowed ones finish their work."""
    pool.close(timeout=0)


class Database:
    """The database of one process.

    pause: waits that many seconds, while what other processes know expires.
    """

    def __init__(
        self,
        config: Config,
        cache: Cache,
        watchdog: Watchdog,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._cache = cache
        self._watchdog = watchdog
        self._pause = pause
        self.members = Members.of(config.postgres_host)
        self._lock = threading.Lock()
        self._pool: psycopg_pool.ConnectionPool[Connection] | None = None

    def use(self, login: Login) -> None:
        """Connect as `login` from now on. Work under way finishes on its old connection."""
        pool: psycopg_pool.ConnectionPool[Connection] = psycopg_pool.ConnectionPool(
            connection_class=MemberConnection,
            kwargs={**parameters(self._config, login), "members": self.members},
            min_size=1,
            max_size=8,
            timeout=_POOL_SECONDS,
            max_lifetime=1800,
            reconnect_timeout=0,
            # a worker that waits for a dead host blocks no connection to another
            num_workers=3 if self.members.several else 1,
            open=True,
            name=self._config.vault_role,
        )
        with self._lock:
            old, self._pool = self._pool, pool
        if old is not None:
            retire(old)

    def primary_moved(self) -> None:
        """Another member takes writes now: lend no more connections to the former one."""
        self._forget_connections()
        pool = self._pool
        if pool is not None:
            with contextlib.suppress(psycopg_pool.PoolClosed):
                pool.check()  # makes one at once, for whoever waits

    def close(self) -> None:
        with self._lock:
            old, self._pool = self._pool, None
        if old is not None:
            retire(old)

    def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` returns. Raises Unavailable if PostgreSQL does not answer."""
        return self._attempt(query, _READ_SECONDS)

    def write(self, keys: Sequence[str], change: Callable[[Connection], T]) -> T:
        """Run `change` in a transaction; on return no reader gets what was under `keys` before.

        keys: cache keys whose value the change makes old; none for a change that nothing caches.
        Raises Unavailable: nothing was changed. Raises OutcomeUnknown: it may have been.
        """
        fences: list[Fence] = []

        def transaction(connection: Connection) -> T:
            committing = False
            try:
                # The server ends the transaction well before a mark set inside it expires. If the
                # database is away, this point is not reached, and no cache is emptied.
                with connection.transaction():
                    if keys:
                        server = naming.held(connection)
                        fences.append(Fence(server, self._cache.fence(keys, server)))
                    result = change(connection)
                    if _unconfirmed(fences):
                        connection.execute(_RAISE_EPOCH)
                    committing = True
            except psycopg.Error as error:
                if committing and not _commit_was_refused(error):
                    raise OutcomeUnknown from error
                raise
            if _unconfirmed(fences):
                self._outlast_leases(connection)
            return result

        try:
            result = self._attempt(transaction)
        except OutcomeUnknown:
            raise  # the mark stays: nothing may be filled before a commit that takes effect late
        except BaseException:
            self._release(keys, fences)
            raise
        if not self._release(keys, fences) and not _unconfirmed(fences):
            self._raise_epoch()
        return result

    def _release(self, keys: Sequence[str], fences: Sequence[Fence]) -> bool:
        """Remove all marks; False if one was not confirmed, by its server or from the start."""
        confirmed = [
            fence.mark is not None and self._cache.release(keys, fence.mark, fence.server)
            for fence in fences
        ]
        return all(confirmed)

    def _raise_epoch(self) -> None:
        """Raise the epoch on its own. Raises OutcomeUnknown if that fails: no acknowledgement."""

        def raised(connection: Connection) -> None:
            connection.execute(_RAISE_EPOCH)
            self._outlast_leases(connection)

        try:
            self._attempt(raised)
        except (Unavailable, psycopg.Error) as error:
            raise OutcomeUnknown from error

    def _outlast_leases(self, connection: Connection) -> None:
        """Return once no process relies any more on an epoch from before this moment.

        connection: the one that raised the epoch. Raises OutcomeUnknown if it does not answer at
        the end: PostgreSQL may have been gone meanwhile, and others may still rely on the old
        epoch.
        """
        log.warning("cache not reached by a write: epoch raised, acknowledgement delayed")
        metrics.EPOCHS.inc()
        seconds = self._config.lease_seconds
        try:
            with self._watchdog.limit(connection, seconds + _READ_SECONDS):
                self._pause(seconds)
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise OutcomeUnknown from error

    def _attempt(
        self, work: Callable[[Connection], T], seconds: float = _TRANSACTION_SECONDS + 1
    ) -> T:
        """What `work` returns, at the second attempt if the first meets a fault."""
        try:
            return self._once(work, seconds)
        except (psycopg_pool.PoolTimeout, psycopg.errors.QueryCanceled) as error:
            raise _unavailable(error) from error
        except _UNDONE:
            log.info("the database undid a transaction, trying once more")
        except FAULTS as error:
            log.info("database connection broke, trying once more", extra=_named(error))
            self._forget_connections()
        try:
            return self._once(work, seconds)
        except FAULTS as error:
            log.warning("the database fails", extra=_named(error))
            raise _unavailable(error) from error

    def _once(self, work: Callable[[Connection], T], seconds: float) -> T:
        with self._borrowed() as connection:
            try:
                with self._watchdog.limit(connection, seconds):
                    return work(connection)
            except (*_UNDONE, psycopg.errors.QueryCanceled):
                raise
            except (*FAULTS, OutcomeUnknown):
                # only after the watchdog has released it; the pool takes no closed one back
                connection.close()
                raise

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        while True:
            pool = self._pool
            if pool is None:
                raise Unavailable("there are no database credentials yet")
            try:
                connection = pool.getconn()
                break
            except psycopg_pool.PoolClosed:
                continue  # replaced between the two lines above
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def _forget_connections(self) -> None:
        pool = self._pool
        if pool is not None:
            with contextlib.suppress(psycopg_pool.PoolClosed):
                pool.drain()


def _unconfirmed(fences: Sequence[Fence]) -> bool:
    return any(fence.mark is None for fence in fences)


def _commit_was_refused(error: psycopg.Error) -> bool:
    """Whether the server answered COMMIT by rolling the transaction back, and said so.

    An error that ends the session (FATAL), or one that is not the server's, proves nothing.
    """
    return error.diag.severity_nonlocalized == "ERROR"


def _unavailable(error: psycopg.Error) -> Unavailable:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Unavailable("the database took too long")
    if isinstance(error, _UNDONE):
        return Unavailable("the database undid the change: others met it; try again")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return Unavailable("the database takes no changes now")
    return Unavailable("the database does not answer")


def _named(error: psycopg.Error) -> dict[str, str]:
    return {"error": type(error).__name__, "sqlstate": error.sqlstate or ""}
