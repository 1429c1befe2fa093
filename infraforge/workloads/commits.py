"""One writer that commits again and again on one connection, and the longest it had to wait."""

from __future__ import annotations

import time
from types import TracebackType
from typing import LiteralString, Self

from infraforge.components.postgres import Connection
from infraforge.wait import seconds, wait_until
from infraforge.workloads.crew import Crew

_COMMIT: LiteralString = "SELECT pg_logical_emit_message(true, 'infraforge', 'commit')"
"""It has a number and is written ahead, so it is waited for like any change, and changes no row."""
_PACE = 0.05


class Commits(Crew):
    """Commits while the block runs. To be read once the block is over.

    acknowledged: how many; longest_gap: seconds between two of them, or before the first. The end
    of the block raises Inconclusive where the writer has ended before, or does not end then.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__({"commits": self._commit}, pause=lambda: _PACE)
        self.acknowledged = 0
        self.longest_gap = 0.0
        self._connection = connection
        self._last = 0.0

    def __enter__(self) -> Self:
        self._last = time.monotonic()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            if self.busy:
                self._connection.close()  # what waits in it ends

    def until(self, more: int, within: float = seconds(30)) -> None:
        """Return once so many more are acknowledged. Raises Inconclusive where the writer ended."""
        wanted = self.acknowledged + more

        def there() -> bool:
            self.complain()
            return self.acknowledged >= wanted

        wait_until(there, within, what=f"{more} more commits are acknowledged")

    def _commit(self) -> None:
        self._connection.execute(_COMMIT)
        now = time.monotonic()
        self.longest_gap, self._last = max(self.longest_gap, now - self._last), now
        self.acknowledged += 1
