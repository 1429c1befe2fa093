"""The statements that the backend ran, from PostgreSQL's own count (pg_stat_statements).

The backend's logins act as the role that owns the tables, and nobody else does: that role's
statements are the backend's, and the observer's are not.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from psycopg import sql

from infraforge.components.postgres import Connection
from infraforge.errors import Inconclusive

_CALLS = """
SELECT s.queryid, s.query, sum(s.calls)::bigint
FROM pg_stat_statements s
JOIN pg_roles r ON r.oid = s.userid
JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = current_database() AND (r.rolname = 'app_owner' OR r.rolname LIKE 'v-%')
GROUP BY s.queryid, s.query
"""
_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'backend' AND wait_event_type = 'Lock' AND state = 'active'
"""
_IDLE = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'backend' AND state LIKE 'idle in transaction%'
"""
_HEALTH = "SELECT dealloc, stats_reset::text FROM pg_stat_statements_info"


@dataclass(frozen=True)
class Look:
    """Each statement's count at one moment. health: shows whether counts were lost since."""

    calls: Mapping[tuple[int, str], int]
    health: tuple[int, str]


@dataclass
class Counted:
    """Statements that ran during a block, with their counts; empty until the block ends."""

    calls: dict[str, int] = field(default_factory=dict)

    def touching(self, table: str) -> dict[str, int]:
        """The statements that name the table."""
        name = re.compile(rf"\b{re.escape(table)}\b")
        return {query: calls for query, calls in self.calls.items() if name.search(query)}


@contextlib.contextmanager
def counted(connection: Connection) -> Iterator[Counted]:
    """Count the backend's statements for the duration of the block.

    Only for a test that holds the stack alone, since everybody's statements count. Raises
    Inconclusive where PostgreSQL discarded counts meanwhile.
    """
    before = look(connection)
    statements = Counted()
    yield statements
    statements.calls.update(between(before, look(connection)))


@contextlib.contextmanager
def held(connection: Connection, table: str) -> Iterator[Callable[[], int]]:
    """Block reads of the table during the block; yields the number of waiting backend sessions.

    Only for moments: PostgreSQL ends statements that wait too long.
    """
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table))
    with connection.transaction():
        connection.execute(lock)
        yield lambda: _number(connection)


@contextlib.contextmanager
def held_project(connection: Connection, project_id: str) -> Iterator[Callable[[], int]]:
    """Block changes of the project during the block; yields the number of waiting sessions.

    Only for moments, like `held`.
    """
    with connection.transaction():
        connection.execute("SELECT 1 FROM projects WHERE id = %s FOR UPDATE", (project_id,))
        yield lambda: _number(connection)


def idle_in_transaction(connection: Connection) -> int:
    """How many of the backend's sessions are idle inside a transaction."""
    row = connection.execute(_IDLE).fetchone()
    return int(row[0]) if row else 0


def _number(connection: Connection) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees its first look
    row = connection.execute(_WAITING).fetchone()
    return int(row[0]) if row else 0


def look(connection: Connection) -> Look:
    """The counts of the backend's statements so far."""
    rows = connection.execute(_CALLS).fetchall()
    health = connection.execute(_HEALTH).fetchone()
    if health is None:
        raise Inconclusive("pg_stat_statements reports no state of its own")
    return Look({(row[0], row[1]): int(row[2]) for row in rows}, (int(health[0]), str(health[1])))


def between(before: Look, after: Look) -> dict[str, int]:
    """How often each statement ran between two looks; others are left out."""
    if before.health != after.health:
        raise Inconclusive(f"counts were lost: {before.health} before, {after.health} after")
    ran: dict[str, int] = {}
    for key, calls in after.calls.items():
        more = calls - before.calls.get(key, 0)
        if more:
            ran[key[1]] = ran.get(key[1], 0) + more
    return ran
