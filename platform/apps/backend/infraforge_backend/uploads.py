"""Uploads under way in this process, and their word that they still are.

An object's row in `discarded_objects` is due `GRACE` seconds after the last word, so what a killed
process leaves in the store, parts of uploads included, is removed that soon; what is under way is
not. Nobody's word counts for longer than `LONGEST`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from infraforge_backend.database import Connection, Database, not_now

log = logging.getLogger(__name__)

EVERY = 10.0
GRACE = 60
LONGEST = 3600.0
_STILL = """
UPDATE discarded_objects SET delete_after = now() + make_interval(secs => %s)
WHERE object_key = ANY(%s) AND NOT going
"""
_OVER = "UPDATE discarded_objects SET delete_after = now() WHERE object_key = %s AND NOT going"


class Uploads:
    """The uploads of one process. clock: seconds, never back."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: dict[str, float] = {}

    @contextlib.contextmanager
    def under_way(self, key: str) -> Iterator[None]:
        """While the block runs, the object is kept; one whose block fails is due at once."""
        with self._lock:
            self._begun[key] = self._clock()
        try:
            yield
        except BaseException:
            self._leave(key)
            # one that is kept after all is in the list no more
            self._tell(lambda connection: connection.execute(_OVER, (key,)))
            raise
        self._leave(key)

    def beat(self) -> None:
        """Say of all of them that they still are."""
        now = self._clock()
        with self._lock:
            keys = [key for key, begun in self._begun.items() if now - begun < LONGEST]
        if keys:
            self._tell(lambda connection: connection.execute(_STILL, (GRACE, keys)))

    def _leave(self, key: str) -> None:
        with self._lock:
            self._begun.pop(key, None)

    def _tell(self, change: Callable[[Connection], object]) -> None:
        with not_now(log):  # it is due by itself
            self._database.write((), change)
