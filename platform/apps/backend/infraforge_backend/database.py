"""PostgreSQL: a pool that follows the credentials, reads, and writes that empty the cache.

A connection is verified against the platform CA and the server's name, works as the tables'
owner (the login role switches by itself), and is ended when it waits too long. A read that meets
a broken connection is tried once more on a new one. A write is, too, as long as COMMIT was not
sent; when the connection breaks inside COMMIT nobody can tell what happened, and the client is
told just that.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
import psycopg_pool
from infraforge_shared.problems import OutcomeUnknown, Unavailable
from psycopg.rows import dict_row

from infraforge_backend import metrics
from infraforge_backend.cache import FENCE_MS, Cache
from infraforge_backend.config import Config
from infraforge_backend.deadline import Watchdog

log = logging.getLogger(__name__)
T = TypeVar("T")
Connection = psycopg.Connection[dict[str, Any]]

_RAISE_EPOCH = "UPDATE cache_epoch SET epoch = epoch + 1"
_STATEMENT_SECONDS = 5
_TRANSACTION_SECONDS = 10
_READ_SECONDS = _STATEMENT_SECONDS + 0.5
# a mark must outlive every transaction it stands for
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
    """A database login. The password is kept out of every text form."""

    user: str
    password: str = field(repr=False)


def parameters(config: Config, login: Login) -> dict[str, Any]:
    """What psycopg needs to connect."""
    return {
        "host": config.postgres_host,
        "port": config.postgres_port,
        "dbname": config.postgres_database,
        "user": login.user,
        "password": login.password,
        "sslmode": "verify-full",
        "sslrootcert": config.ca_file,
        "connect_timeout": 3,
        "application_name": config.vault_role,
        "client_encoding": "UTF8",
        "options": _SERVER_SETTINGS,
        "autocommit": True,
        "row_factory": dict_row,
    }


def retire(pool: psycopg_pool.ConnectionPool[Connection]) -> None:
    """Close a pool nobody gets connections from any more; borrowed ones finish their work."""
    pool.close(timeout=0)


class Database:
    """The database of one process."""

    def __init__(self, config: Config, cache: Cache, watchdog: Watchdog) -> None:
        self._config = config
        self._cache = cache
        self._watchdog = watchdog
        self._lock = threading.Lock()
        self._pool: psycopg_pool.ConnectionPool[Connection] | None = None

    def use(self, login: Login) -> None:
        """Connect as `login` from now on. Work under way ends on its old connection."""
        pool: psycopg_pool.ConnectionPool[Connection] = psycopg_pool.ConnectionPool(
            kwargs=parameters(self._config, login),
            min_size=1,
            max_size=8,
            timeout=_POOL_SECONDS,
            max_lifetime=1800,
            reconnect_timeout=0,
            num_workers=1,
            open=True,
            name=self._config.vault_role,
        )
        with self._lock:
            old, self._pool = self._pool, pool
        if old is not None:
            retire(old)

    def close(self) -> None:
        with self._lock:
            old, self._pool = self._pool, None
        if old is not None:
            retire(old)

    def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` returns. Unavailable when PostgreSQL does not answer."""
        return self._attempt(query, _READ_SECONDS)

    def write(self, keys: Sequence[str], change: Callable[[Connection], T]) -> T:
        """Run `change` in a transaction; on return no reader gets what was under `keys` before.

        keys: cache keys whose value the change makes old; none for a change nothing caches.
        Unavailable: nothing was changed. OutcomeUnknown: it may have been.
        """
        marks: list[str | None] = []

        def transaction(connection: Connection) -> T:
            committing = False
            try:
                # The server ends the transaction well before a mark set inside it expires. A
                # database that is not there does not get this far, and empties no cache.
                with connection.transaction():
                    marks.extend([self._cache.fence(keys)] if keys else [])
                    result = change(connection)
                    if None in marks:
                        connection.execute(_RAISE_EPOCH)
                    committing = True
            except psycopg.OperationalError as error:
                if committing:
                    raise OutcomeUnknown from error
                raise
            return result

        try:
            result = self._attempt(transaction)
        except OutcomeUnknown:
            raise  # the mark stays: a commit that takes effect late must find no fill
        except BaseException:
            self._release(keys, marks)
            raise
        if None in marks:
            metrics.EPOCHS.inc()
            self._wait_for_leases()
        elif not self._release(keys, marks):
            self._raise_epoch()
            self._wait_for_leases()
        return result

    def _release(self, keys: Sequence[str], marks: Sequence[str | None]) -> bool:
        return all(mark is None or self._cache.release(keys, mark) for mark in marks)

    def _raise_epoch(self) -> None:
        """Raise the epoch on its own; OutcomeUnknown where that fails: no acknowledgement then."""
        try:
            self._attempt(lambda connection: connection.execute(_RAISE_EPOCH))
        except Unavailable as error:
            raise OutcomeUnknown from error
        metrics.EPOCHS.inc()

    def _wait_for_leases(self) -> None:
        """Until nobody can rely any more on an epoch seen before this moment."""
        log.warning("cache not reached by a write: epoch raised, acknowledgement delayed")
        threading.Event().wait(self._config.lease_seconds)

    def _attempt(
        self, work: Callable[[Connection], T], seconds: float = _TRANSACTION_SECONDS + 1
    ) -> T:
        try:
            return self._once(work, seconds)
        except psycopg_pool.PoolTimeout as error:
            raise Unavailable("the database does not answer") from error
        except psycopg.OperationalError as error:
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise Unavailable("the database took too long") from error
            log.info("database connection broke, trying once more")
            self._forget_connections()
        try:
            return self._once(work, seconds)
        except psycopg.OperationalError as error:
            raise Unavailable("the database does not answer") from error

    def _once(self, work: Callable[[Connection], T], seconds: float) -> T:
        with self._borrowed() as connection, self._watchdog.limit(connection, seconds):
            return work(connection)

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
