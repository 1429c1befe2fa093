"""Who did what: a row in the same transaction as the change, and a line in the log."""

from __future__ import annotations

import logging

import flask

from infraforge_backend.access import Identity
from infraforge_backend.database import Connection

log = logging.getLogger("audit")

_INSERT = """
INSERT INTO audit (actor, role, action, target, outcome, request_id)
VALUES (%s, %s, %s, %s, %s, %s)
"""
_LATEST = """
SELECT id, at, actor, role, action, target, outcome, request_id FROM audit
WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s
"""


def record(
    connection: Connection, who: Identity, action: str, target: str, outcome: str = "done"
) -> None:
    """Write the row; it counts only if the surrounding transaction is committed."""
    values = (who.user, who.role_name, action, target, outcome, flask.g.request_id)
    connection.execute(_INSERT, values)


def tell(who: Identity, action: str, target: str, outcome: str = "done") -> None:
    """Write the log line, once the outcome is known."""
    log.info(
        "%s %s",
        action,
        outcome,
        extra={
            "actor": who.user,
            "role": who.role_name,
            "action": action,
            "target": target,
            "outcome": outcome,
        },
    )


def latest(connection: Connection, before: int | None, limit: int) -> list[dict[str, object]]:
    """The latest rows, newest first, older than row `before`."""
    rows = connection.execute(_LATEST, {"before": before, "limit": limit}).fetchall()
    return [{**row, "at": row["at"].isoformat()} for row in rows]
