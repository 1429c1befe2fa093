"""Whether this process may use the cache now, and under which epoch. Pure except for its lock.

The epoch is a number in PostgreSQL. A cached value counts only under the epoch it was stored with,
so raising the number invalidates every cached value at once, including those in a Redis that
nobody can reach at that moment. A process may trust its last look for `lease` seconds, counted from
before it asked; after that it must not use the cache until it has looked again. So a writer that
raises the epoch and waits `lease` seconds knows that no process still serves what was cached
before.

Beside the epoch PostgreSQL names the one server that holds the cache (naming.py). Both are read
together, and the lease covers both: a process uses no other server than the one named.

There is one extension. While PostgreSQL is proved to be gone for everybody (absence.py,
heartbeat.py) nobody can raise the epoch or name another server, so hits continue. Two rules make
that right:

- Only knowledge that is still fresh when the proof arrives is extended. Expired knowledge may be
  old: a writer may have raised the epoch and acknowledged before PostgreSQL went away.
- A writer that raised the epoch acknowledges only if the session in which it did so answers at the
  end of its wait. A session survives no restart, crash or failover of its server, so PostgreSQL was
  never gone in between; otherwise the outcome is unknown (database.py).

Proof: suppose a process uses epoch e after a raise to e + 1, committed at time c, was acknowledged,
so at c + lease or later. Its last look was before c. Without a proof of absence after c it stopped
at c + lease. The first such proof after c was complete before the knowledge from before c expired,
so before c + lease, and says that PostgreSQL had no session at some moment in between. But the
writer's session lived from c until the acknowledgement.

Nothing is extended if the cache failed this process since its last look. The proof does not need
that; it excludes a process that shares the writer's trouble.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """What a process knows: the epoch, and the run id of the server that holds the cache.

    server: "" while PostgreSQL names none; then the cache must not be used.
    """

    epoch: int
    server: str


class EpochKnowledge:
    """The last epoch this process has seen, and until when it may rely on it."""

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Known | None = None
        self._as_of = float("-inf")
        self._extended = float("-inf")
        self._trouble = float("-inf")

    def now(self) -> float:
        """The time to pass to `seen` or `refused`; take it before asking PostgreSQL."""
        return self._clock()

    def known(self) -> Known | None:
        """The epoch and server to use the cache with; None: bypass the cache."""
        with self._lock:
            return self._known if self._fresh() else None

    def usable(self) -> int | None:
        """The epoch to use the cache under; None: bypass the cache."""
        known = self.known()
        return known.epoch if known else None

    def seen(self, epoch: int, asked_at: float, server: str = "") -> None:
        """Record PostgreSQL's answer to a question sent at `asked_at`."""
        with self._lock:
            if asked_at >= self._as_of:
                self._known, self._as_of = Known(epoch, server), asked_at

    def refused(self, asked_at: float) -> None:
        """Record that at some moment since `asked_at` PostgreSQL had no session at all.

        Extends the knowledge, unless it has expired by now.
        """
        with self._lock:
            if self._fresh():
                self._extended = max(self._extended, asked_at)

    def cache_failed(self) -> None:
        """Record that the cache did not answer this process: a writer may have met the same."""
        with self._lock:
            self._trouble = self._clock()

    def _fresh(self) -> bool:
        return self._clock() - self._newest() < self._lease

    def _newest(self) -> float:
        if self._trouble >= self._as_of:
            return self._as_of
        return max(self._as_of, self._extended)
