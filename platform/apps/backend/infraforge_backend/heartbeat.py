"""Two pulses, twice a second each: the cache's epoch and server from PostgreSQL, and a sign of life
from Redis.

Each has its own thread and connection, so that neither waits for the other or for users.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from infraforge_backend import database, members, metrics, naming
from infraforge_backend.cache import Cache
from infraforge_backend.config import Config
from infraforge_backend.database import Connection, Login
from infraforge_backend.deadline import Watchdog
from infraforge_backend.epoch import EpochKnowledge
from infraforge_backend.members import MemberConnection, Members
from infraforge_backend.naming import Named, Naming

log = logging.getLogger(__name__)

PULSE = 0.5
_ANSWER_WITHIN = 1.0
# not "shutting down": a smart shutdown lets sessions continue; not "in recovery mode" either: the
# server may have crashed only a moment ago
_NOBODY_GETS_IN = ("system is starting up",)
# a standby says this about a session that it has begun: the login was good
_LET_IN = ("session is read-only", "server is in hot standby mode")
_NOT_WITH_THIS_LOGIN = ("authentication failed", "does not exist", "not permitted to log in")


def refuses_everybody(error: psycopg.Error) -> bool:
    """Whether PostgreSQL itself says that it has no session and lets nobody in.

    If several addresses were tried, all must have said so. A timeout proves nothing, and neither
    does a refused connection: the Service refuses, too (see absence.py).
    """
    return all(_starts_up(one) for one in members.each(error))


def _starts_up(error: psycopg.Error) -> bool:
    attempts = str(error).split("connection to server")[1:]
    return bool(attempts) and all(
        any(words in attempt for words in _NOBODY_GETS_IN) for attempt in attempts
    )


def refuses_login(error: psycopg.Error) -> bool:
    """Whether PostgreSQL is there and does not accept this login (any more).

    A standby may not know a login yet that the primary made a moment ago: so all members that say
    anything about it must say the same.
    """
    said = [str(one) for one in members.each(error)]
    refusals = [any(words in text for words in _NOT_WITH_THIS_LOGIN) for text in said]
    let_in = [any(words in text for words in _LET_IN) for text in said]
    return any(refusals) and not any(let_in)


@dataclass(frozen=True)
class Primary:
    """The members to look among, and what to call when another one is found to be primary."""

    members: Members
    moved: Callable[[], None] = lambda: None


class EpochPulse:
    """Keeps EpochKnowledge fresh, and knows when PostgreSQL last answered.

    met: run id of the master that the cache's client met last, "" if it does not answer now.
    """

    def __init__(
        self,
        config: Config,
        knowledge: EpochKnowledge,
        watchdog: Watchdog,
        suspect: Callable[[], None],
        *,
        met: Callable[[], str],
        primary: Primary | None = None,
    ) -> None:
        self._config = config
        self._knowledge = knowledge
        self._watchdog = watchdog
        self._suspect = suspect
        self._naming = Naming(met, config.lease_seconds)
        self._primary = primary or Primary(Members.of(config.postgres_host))
        self._server = ""
        self._login: Login | None = None
        self._changed = False
        self._connection: Connection | None = None
        self._answered = float("-inf")
        self._up = True

    def use(self, login: Login) -> None:
        """Connect as `login` from the next pulse on."""
        self._login, self._changed = login, True

    @property
    def silent_for(self) -> float:
        """Seconds since PostgreSQL last answered."""
        return time.monotonic() - self._answered

    def beat(self) -> None:
        login = self._login
        if login is None:
            return
        asked_at = self._knowledge.now()
        try:
            row = self._ask(login)
        except database.FAULTS as error:
            self._drop()
            self._missed(error, asked_at)
            return
        except psycopg.Error as error:  # e.g. no such table: before the first migration
            self._tell(False, error)
            return
        self._knowledge.seen(row.epoch, asked_at, row.server)
        self._answered = asked_at
        self._tell(True, None)

    def _ask(self, login: Login) -> Named:
        if self._changed:
            self._changed = False
            self._drop()
        if self._connection is None or self._connection.closed:
            known = self._primary.members
            self._connection = MemberConnection.connect(
                members=known, **database.parameters(self._config, login)
            )
            before, self._server = self._server, self._connection.info.host
            if before and before != self._server:
                log.warning("another member is primary", extra={"primary": self._server})
                self._primary.moved()
        with self._watchdog.limit(self._connection, _ANSWER_WITHIN):
            row = naming.look(self._connection)
            self._naming.beat(self._connection, row)
        return row

    def _missed(self, error: psycopg.Error, asked_at: float) -> None:
        if refuses_login(error):
            self._suspect()
        elif refuses_everybody(error):
            self._knowledge.refused(asked_at)
        self._tell(False, error)

    def _tell(self, up: bool, error: psycopg.Error | None) -> None:
        metrics.UP.labels("postgres").set(up)
        if up != self._up:
            told = str(error).splitlines()[0] if error and str(error) else ""
            log.warning(
                "postgres answers" if up else "postgres does not answer", extra={"error": told}
            )
        self._up = up

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class CachePulse:
    """Notices when Redis goes away and comes back."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def beat(self) -> None:
        metrics.UP.labels("redis").set(self._cache.probe())


class Pulse:
    """Calls a beat for as long as the process lives; an error in one beat does not end it."""

    def __init__(self, name: str, beat: Callable[[], None], every: float = PULSE) -> None:
        self._beat = beat
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._beat()
            except Exception:
                log.exception("a beat failed")
            self._stop.wait(max(0.05, self._every - (time.monotonic() - started)))
