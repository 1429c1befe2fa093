"""Removes objects that no file names: replaced, deleted, or of an upload that never ended.

What is due is marked in one transaction, removed from the store in none, and struck off the list in
another: a slow store holds up no transaction. What is marked no upload can take back. Marks of a
process that died over its work are void after `_AGAIN` seconds.
"""

from __future__ import annotations

import logging

from infraforge_backend.database import Connection, Database, not_now
from infraforge_backend.objects import Objects

log = logging.getLogger(__name__)

EVERY = 10.0
_AGAIN = 300.0  # longer than a batch can take: three answers of the store for each object
_BATCH = 5
_ROUNDS = 100
_MARK = """
UPDATE discarded_objects SET going = true, delete_after = now() + make_interval(secs => %s)
WHERE object_key IN (
  SELECT object_key FROM discarded_objects WHERE delete_after < now()
  ORDER BY delete_after LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING object_key
"""
_SOON = """
UPDATE discarded_objects SET delete_after = now() + make_interval(secs => %s)
WHERE object_key = ANY(%s)
"""
_STRIKE = "DELETE FROM discarded_objects WHERE object_key = ANY(%s)"


class Collector:
    """Removes what is due from the store, then from the list."""

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._objects = objects

    def beat(self) -> None:
        with not_now(log):  # the list keeps what is due
            for _ in range(_ROUNDS):
                due = self._database.write((), _mark)
                if due:
                    self._collect(due)
                    log.info("objects removed", extra={"count": len(due)})
                if len(due) < _BATCH:
                    return

    def _collect(self, due: list[str]) -> None:
        """Remove them one by one; what was removed is struck off, the rest is due again soon."""
        removed: list[str] = []
        try:
            for key in due:
                self._objects.remove(key)
                removed.append(key)
        finally:
            self._database.write((), lambda c: _settle(c, due, removed))


def _settle(connection: Connection, due: list[str], removed: list[str]) -> None:
    connection.execute(_STRIKE, (removed,))
    if len(removed) < len(due):
        connection.execute(_SOON, (EVERY, due))


def _mark(connection: Connection) -> list[str]:
    rows = connection.execute(_MARK, (_AGAIN, _BATCH)).fetchall()
    return [row["object_key"] for row in rows]
