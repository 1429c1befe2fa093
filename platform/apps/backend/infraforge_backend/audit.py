"""Who did what: a row in the same transaction as the change, and a line in the log.

The table belongs to nobody the application can act as: it adds rows and reads them
(`components/postgres/database.sql`). What it holds is bounded. A field is cut at `FIELD_BYTES`.
Of the denials of one person on one route some are rows of their own (`BURST` a minute), and the
rest are counted and become one row with their number. Old rows are pruned.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import flask
import psycopg
from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_backend.access import Identity
from infraforge_backend.database import Connection, Database, not_now

log = logging.getLogger("audit")

FIELD_BYTES = 500
BURST = 5
PERIOD = 60.0
PRUNE_EVERY = 600.0
DENIED = "denied"
_PRUNE_ROUNDS = 20
_INSERT = """
INSERT INTO public.audit (actor, role, action, target, outcome, request_id, count)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_LATEST = """
SELECT id, at, actor, role, action, target, outcome, request_id, count FROM public.audit
WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s
"""


def cut(text: str) -> str:
    """The text, or as much of its beginning as a field may have, with … behind it."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= FIELD_BYTES:
        return text
    return raw[: FIELD_BYTES - 3].decode("utf-8", "ignore") + "…"


def record(
    connection: Connection, who: Identity, action: str, target: str, outcome: str = "done"
) -> None:
    """Write the row; it counts only if the surrounding transaction is committed."""
    _record(connection, who, (action, target, outcome, flask.g.request_id), 1)


def tell(who: Identity, action: str, target: str, outcome: str = "done") -> None:
    """Write the log line, once the outcome is known."""
    log.info(
        "%s %s",
        action,
        outcome,
        extra={
            "actor": cut(who.user),
            "role": who.role_name,
            "action": action,
            "target": cut(target),
            "outcome": outcome,
        },
    )


def latest(connection: Connection, before: int | None, limit: int) -> list[dict[str, object]]:
    """The latest rows, newest first, older than row `before`."""
    rows = connection.execute(_LATEST, {"before": before, "limit": limit}).fetchall()
    return [{**row, "at": row["at"].isoformat()} for row in rows]


@dataclass
class _Run:
    """The denials of one person on one route within a period. said: rows; more: counted only."""

    who: Identity
    since: float
    said: int = 0
    more: int = 0


class Denials:
    """What one process writes down of refused changes. clock: seconds, never back."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, str], _Run] = {}

    def note(self, who: Identity, route: str, target: str) -> None:
        """Write a denial down, or count it. route: method and rule; target: method and path."""
        with self._lock:
            run = self._runs.setdefault((who.subject, route), _Run(who, self._clock()))
            if run.said >= BURST:
                run.more += 1
                return
            run.said += 1
        values = ("request", target, DENIED, flask.g.request_id)
        self._write(lambda connection: _record(connection, who, values, 1))

    def beat(self) -> None:
        """End the periods that are over: what was only counted in them becomes a row each."""
        now = self._clock()
        with self._lock:
            over = {key: run for key, run in self._runs.items() if now - run.since >= PERIOD}
            for key in over:
                del self._runs[key]
        counted = [(route, run) for (_, route), run in over.items() if run.more]
        if not counted:
            return

        def write(connection: Connection) -> None:
            for route, run in counted:
                _record(connection, run.who, ("request", route, DENIED, ""), run.more)

        self._write(write)

    def flush(self) -> None:
        """End all periods now."""
        with self._lock:
            for run in self._runs.values():
                run.since = float("-inf")
        self.beat()

    def _write(self, change: Callable[[Connection], None]) -> None:
        try:
            self._database.write((), change)
        except (Unavailable, OutcomeUnknown, psycopg.Error) as error:
            log.warning("a denial is in the log only", extra={"error": type(error).__name__})


def prune(database: Database) -> None:
    """Have PostgreSQL remove the rows that need not be kept any more."""

    def some(connection: Connection) -> int:
        row = connection.execute("SELECT public.prune_audit() AS rows").fetchone()
        return int(row["rows"]) if row else 0

    removed = 0
    with not_now(log):
        for _ in range(_PRUNE_ROUNDS):
            found = database.write((), some)
            removed += found
            if not found:
                break
    if removed:
        log.info("old audit rows removed", extra={"count": removed})


def _record(
    connection: Connection, who: Identity, what: tuple[str, str, str, str], count: int
) -> None:
    action, target, outcome, request_id = what
    fields = (who.user, who.role_name, action, target, outcome, request_id)
    connection.execute(_INSERT, (*map(cut, fields), count))
