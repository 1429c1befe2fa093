"""Whether this process may use the cache right now, and under which epoch. Pure but for its lock.

The epoch is a number in PostgreSQL. A value in the cache counts only under the epoch it was
stored with, so raising the number ends the life of every cached value at once, also of those in
a Redis that nobody can reach at that moment. A process may trust its last look for `lease`
seconds, counted from before it asked; then it must not use the cache until it has looked again.
A writer that raises the epoch and waits `lease` seconds therefore knows that nobody anywhere
still serves what was cached before.

One extension: while PostgreSQL is proved to be gone for everybody (absence.py, heartbeat.py)
nobody can raise the epoch, so hits go on being served. Two rules make that right:

- Only what is fresh when the proof is there is extended. What has run out may be old: a writer
  may have raised the epoch and acknowledged before PostgreSQL went away.
- A writer that raised the epoch acknowledges only if the session it did that in answers at the end
  of its wait. A session survives no restart, crash or failover of its server, so PostgreSQL was
  never gone meanwhile; otherwise the outcome is unknown (database.py).

Suppose a process uses epoch e after a raise to e + 1, committed at c, was acknowledged, so at
c + lease or later. Its last look was before c. Without a proof after c it stopped at c + lease.
The first proof after c was complete before the knowledge from before c ran out, so before
c + lease, and says that PostgreSQL had no session at some moment between. But the writer's session
lived from c to its acknowledgement.

Nor is anything extended when the cache failed this process since its last look. The argument does
not need that; it keeps a process that shares the writer's trouble out of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class EpochKnowledge:
    """The last epoch this process has seen and until when that may be relied on."""

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._lock = threading.Lock()
        self._epoch: int | None = None
        self._as_of = float("-inf")
        self._extended = float("-inf")
        self._trouble = float("-inf")

    def now(self) -> float:
        """The moment to hand to `seen` or `refused`, taken before PostgreSQL is asked."""
        return self._clock()

    def usable(self) -> int | None:
        """The epoch to use the cache under, or None where the cache must be left alone."""
        with self._lock:
            return self._epoch if self._fresh() else None

    def seen(self, epoch: int, asked_at: float) -> None:
        """PostgreSQL answered `epoch` to a question sent at `asked_at`."""
        with self._lock:
            if asked_at >= self._as_of:
                self._epoch, self._as_of = epoch, asked_at

    def refused(self, asked_at: float) -> None:
        """At some moment since `asked_at` PostgreSQL had no session at all, of anybody.

        Extends what is known, unless that has run out by now.
        """
        with self._lock:
            if self._fresh():
                self._extended = max(self._extended, asked_at)

    def cache_failed(self) -> None:
        """The cache did not answer this process: some writer may have met the same."""
        with self._lock:
            self._trouble = self._clock()

    def _fresh(self) -> bool:
        return self._clock() - self._newest() < self._lease

    def _newest(self) -> float:
        if self._trouble >= self._as_of:
            return self._as_of
        return max(self._as_of, self._extended)
