"""Which statements the backend ran, from PostgreSQL's own count (pg_stat_statements).

The backend's logins work as the role that owns the tables, and nobody else does: statements of
that role are the backend's, those of whoever looks are not.
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
    """The count of each statement at a moment. health: whether counts were lost since."""

    calls: Mapping[tuple[int, str], int]
    health: tuple[int, str]


@dataclass
class Counted:
    """Statements that were run while a block ran, with how often; empty until it is over."""

    calls: dict[str, int] = field(default_factory=dict)

    def touching(self, table: str) -> dict[str, int]:
        """Those that name the table."""
        name = re.compile(rf"\b{re.escape(table)}\b")
        return {query: calls for query, calls in self.calls.items() if name.search(query)}


@contextlib.contextmanager
def counted(connection: Connection) -> Iterator[Counted]:
    """Count the backend's statements while the block runs.

    Only for whoever holds the stack alone: everybody's statements are counted. Raises Inconclusive
    where PostgreSQL threw counts away meanwhile.
    """
    before = look(connection)
    found = Counted()
    yield found
    found.calls.update(between(before, look(connection)))


@contextlib.contextmanager
def held(connection: Connection, table: str) -> Iterator[Callable[[], int]]:
    """Let nobody read the table while the block runs; gives how many of the backend wait for it.

    Only for moments: statements that wait too long are ended.
    """
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table))
    with connection.transaction():
        connection.execute(lock)
        yield lambda: _number(connection)


@contextlib.contextmanager
def held_project(connection: Connection, project_id: str) -> Iterator[Callable[[], int]]:
    """Let nobody change the project while the block runs; gives how many of the backend wait.

    Only for moments, as `held`.
    """
    with connection.transaction():
        connection.execute("SELECT 1 FROM projects WHERE id = %s FOR UPDATE", (project_id,))
        yield lambda: _number(connection)


def idle_in_transaction(connection: Connection) -> int:
    """How many of the backend's sessions wait for its next statement inside a transaction."""
    row = connection.execute(_IDLE).fetchone()
    return int(row[0]) if row else 0


def _number(connection: Connection) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees the first look
    row = connection.execute(_WAITING).fetchone()
    return int(row[0]) if row else 0


def look(connection: Connection) -> Look:
    """The backend's statements so far."""
    rows = connection.execute(_CALLS).fetchall()
    health = connection.execute(_HEALTH).fetchone()
    if health is None:
        raise Inconclusive("pg_stat_statements says nothing about itself")
    return Look({(row[0], row[1]): int(row[2]) for row in rows}, (int(health[0]), str(health[1])))


def between(before: Look, after: Look) -> dict[str, int]:
    """How often each statement was run between two looks; those that were not are left out."""
    if before.health != after.health:
        raise Inconclusive(f"counts were lost: {before.health} before, {after.health} after")
    found: dict[str, int] = {}
    for key, calls in after.calls.items():
        more = calls - before.calls.get(key, 0)
        if more:
            found[key[1]] = found.get(key[1], 0) + more
    return found
