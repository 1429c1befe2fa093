"""One writer that commits again and again on one connection, and the longest it had to wait."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import LiteralString

import psycopg

from infraforge.components.postgres import Connection
from infraforge.errors import ClusterError
from infraforge.wait import seconds, wait_until

_COMMIT: LiteralString = "SELECT pg_logical_emit_message(true, 'infraforge', 'commit')"
"""It has a number and is written ahead, so it is waited for like any change, and changes no row."""
_PACE = 0.05


class Commits:
    """Commits while the block runs. To be read once the block is over.

    acknowledged: how many; longest_gap: seconds between two of them, or before the first.
    """

    def __init__(self, connection: Connection) -> None:
        self.acknowledged = 0
        self.longest_gap = 0.0
        self._connection = connection
        self._trouble: psycopg.Error | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)

    def __enter__(self) -> Commits:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(seconds(5))
        if self._thread.is_alive():
            self._connection.close()  # what waits in it ends

    def until(self, more: int, within: float = seconds(30)) -> None:
        """Return once so many more are acknowledged. Raises ClusterError where the writer ended."""
        wanted = self.acknowledged + more

        def there() -> bool:
            if self._trouble is not None:
                raise ClusterError(f"the writer ended: {self._trouble}") from self._trouble
            return self.acknowledged >= wanted

        wait_until(there, within, what=f"{more} more commits are acknowledged")

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():
            try:
                self._connection.execute(_COMMIT)
            except psycopg.Error as error:
                self._trouble = error
                return
            now = time.monotonic()
            self.longest_gap, last = max(self.longest_gap, now - last), now
            self.acknowledged += 1
            self._stop.wait(_PACE)
