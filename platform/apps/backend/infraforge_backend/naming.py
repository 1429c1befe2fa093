"""Names the server that holds the cache in PostgreSQL, so that a promotion resurrects nothing.

Replication of Redis is asynchronous. A promoted replica may lack the last invalidations, and a
former master that was cut off goes on answering. So the one row that holds the epoch also holds
the run id of the server that holds the cache: Redis makes a new one at every start, and keeps it
through a promotion. A process uses the cache only over a connection to that very server (cache.py,
servers.py).

The name changes in two steps, each a compare-and-set on `turn`:

1. Forget. A process that meets a master with another run id raises the epoch and clears the name.
   From then on nobody who looks uses the cache, and every write that must invalidate raises the
   epoch and delays its acknowledgement (database.py).
2. Name. A process that has seen the same cleared row for `lease` seconds, in one session of
   PostgreSQL, sets the run id of the master it meets now. It does so under an exclusive advisory
   lock; every write that invalidates holds that lock shared from before it reads the name until
   its transaction ends.

Why it is right: at step 2 no process relies any more on the former name, since it has been gone
for `lease` seconds, and the session says that PostgreSQL was there all the time (see epoch.py). No
transaction that fenced the former server, or none, is still open. So whatever is read into the
newly named server is read after all those changes, and whatever changes later is fenced there.
What the server held before is void: it carries an older epoch.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from infraforge_backend.database import Connection

log = logging.getLogger(__name__)

LOOK = "SELECT epoch, server, turn FROM cache_epoch"
HELD = "SELECT held_cache_server() AS server"
"""The server's run id, "" for none; holds the name as it is until the transaction ends."""
FORGET = "SELECT forget_cache_server(%s)"
NAME = "SELECT name_cache_server(%s, %s)"


@dataclass(frozen=True)
class Named:
    """The row. server: a run id, or "" for none. turn: grows with every change of the server."""

    epoch: int
    server: str
    turn: int


def look(connection: Connection) -> Named:
    """The row as it is now. Raises psycopg.OperationalError if it is missing."""
    row = connection.execute(LOOK).fetchone()
    if row is None:
        raise psycopg.OperationalError("cache_epoch is empty")
    return Named(int(row["epoch"]), str(row["server"]), int(row["turn"]))


def held(connection: Connection) -> str:
    """The named server, inside a transaction: no other is named before the transaction ends."""
    row = connection.execute(HELD).fetchone()
    return str(row["server"]) if row else ""


class Naming:
    """Changes the name where this process meets another master. For one thread.

    met: run id of the master that the cache's client met last, "" if it does not answer now.
    """

    def __init__(
        self, met: Callable[[], str], lease: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._met = met
        self._lease = lease
        self._clock = clock
        self._session: Connection | None = None
        self._turn = -1
        self._since = float("inf")

    def beat(self, connection: Connection, row: Named) -> None:
        """Act on what `connection` has just read."""
        met = self._met()
        if row.server:
            self._session = None
            if met not in ("", row.server):
                log.warning("another server is the cache's master", extra={"server": met})
                self._try(connection, FORGET, (row.turn,))
        elif self._session is not connection or self._turn != row.turn:
            self._session, self._turn, self._since = connection, row.turn, self._clock()
        elif met and self._clock() - self._since >= self._lease:
            self._try(connection, NAME, (met, row.turn))

    def _try(self, connection: Connection, statement: str, values: tuple[object, ...]) -> None:
        """Run it; a lock that others hold too long leaves it to the next beat."""
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            connection.execute(statement, values)
