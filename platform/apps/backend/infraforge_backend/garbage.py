"""Removes objects that no file names: replaced, deleted, or of an upload that never ended."""

from __future__ import annotations

import logging

from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_backend.database import Connection, Database
from infraforge_backend.objects import Objects

log = logging.getLogger(__name__)

_DUE = """
SELECT object_key FROM discarded_objects WHERE delete_after < now()
ORDER BY delete_after LIMIT %s FOR UPDATE SKIP LOCKED
"""
EVERY = 10.0
_BATCH = 10  # in one transaction: few enough for its time limit
_ROUNDS = 50


class Collector:
    """Removes what is due from the store, then from the list."""

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._objects = objects

    def beat(self) -> None:
        for _ in range(_ROUNDS):
            try:
                removed = self._database.write((), self._collect)
            except (Unavailable, OutcomeUnknown) as error:
                log.debug("not now: %s", error.detail)  # next time; the list keeps what is due
                return
            if removed:
                log.info("objects removed", extra={"count": removed})
            if removed < _BATCH:
                return

    def _collect(self, connection: Connection) -> int:
        # the rows stay locked meanwhile, so that an upload cannot take its object back
        rows = connection.execute(_DUE, (_BATCH,)).fetchall()
        for row in rows:
            self._objects.remove(row["object_key"])
            connection.execute(
                "DELETE FROM discarded_objects WHERE object_key = %s", (row["object_key"],)
            )
        return len(rows)
