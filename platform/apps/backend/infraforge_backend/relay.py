"""Carries the outbox to the bus, in order, and tells again of jobs that nobody seems to know of.

Of all processes one at a time has the turn: a row with a holder and an end. It is taken, with the
oldest messages, in one short transaction; they are published in none; what was confirmed is deleted
in another, and the turn given back. A slow bus so holds up no transaction, and whatever it has
confirmed is done with. A process that dies or hangs loses its turn after `TURN` seconds; it stops
publishing well before that, by its own clock. What two publish all the same has one message id.

A job that still waits although its message has left the outbox may have lost it: with NATS' volume,
or in a stream that somebody emptied. It is told of again once it has waited `retell_seconds`, then
each time that its wait has doubled, so that a long queue is not filled by repetition. Each telling
is a message of its own to the stream, and names the same row: the job is done once.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_backend import outbox
from infraforge_backend.database import Connection, Database

log = logging.getLogger(__name__)

EVERY = 0.5
TURN = 20.0
BUDGET = 6.0  # of the turn, for publishing; one message more may take 4 s (bus.py)
BATCH = 50
_SWEEP_EVERY = 5.0
_SWEEP = 50
_LOCK = 0x1F0B11

_ANYTHING = "SELECT EXISTS (SELECT FROM outbox) AS waits"
_TAKE_TURN = """
UPDATE relay_turn SET holder = %(me)s, until = now() + make_interval(secs => %(turn)s)
WHERE until < now() OR holder = %(me)s RETURNING holder
"""
_GIVE_BACK = "UPDATE relay_turn SET until = now() WHERE holder = %s"
_NEXT = "SELECT id, message_id, subject, payload FROM outbox ORDER BY id LIMIT %s"
_DELETE = "DELETE FROM outbox WHERE id = ANY(%s)"
_TAKE_SWEEP = "SELECT pg_try_advisory_xact_lock(%s) AS mine"
_UNTOLD = """
UPDATE jobs SET tellings = tellings + 1, told_at = now() WHERE id IN (
  SELECT j.id FROM jobs j
  WHERE j.state = 'queued'
    AND j.told_at < now() - make_interval(secs => %s)
    AND now() - j.told_at > j.told_at - j.created_at
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.message_id = j.row_id || '.' || j.tellings)
  ORDER BY j.told_at LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id, row_id, kind, tellings
"""

Row = dict[str, Any]


class Publisher(Protocol):
    """What takes messages. `publish` returns once a stream has one, or raises Unavailable."""

    def publish(self, subject: str, payload: str, message_id: str) -> None: ...


def tell_of(connection: Connection, row: Row) -> None:
    """Leave the message that has a worker do the job. row: of `jobs`."""
    text = json.dumps({"job": str(row["id"]), "row": str(row["row_id"])})
    outbox.leave(connection, f"jobs.{row['kind']}", text, f"{row['row_id']}.{row['tellings']}")


def retell(connection: Connection, seconds: float) -> int:
    """Tell of jobs again that have waited too long since they were told of; how many."""
    turn = connection.execute(_TAKE_SWEEP, (_LOCK,)).fetchone()
    if turn is None or not turn["mine"]:
        return 0
    rows = connection.execute(_UNTOLD, (seconds, _SWEEP)).fetchall()
    for row in rows:
        tell_of(connection, row)
    return len(rows)


class Relay:
    """The relay of one process. clock: seconds, never back."""

    def __init__(
        self,
        database: Database,
        bus: Publisher,
        retell_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._bus = bus
        self._retell_seconds = retell_seconds
        self._clock = clock
        self._me = uuid.uuid4()
        self._wake = threading.Event()
        self._stopping = False
        self._silent = False
        self._swept = float("-inf")
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def wake(self) -> None:
        """There is something new: do not wait for the next look."""
        self._wake.set()

    def carry(self) -> bool:
        """Publish the oldest messages in order, up to the first that the bus does not take.

        True: there may be more to be carried at once. Unavailable, OutcomeUnknown: by the database.
        """
        began = self._clock()
        rows = self._database.write((), self._take)
        if not rows:
            return False
        confirmed: list[int] = []
        try:
            going_on = self._publish(rows, began + BUDGET, confirmed)
        finally:
            self._database.write((), lambda connection: self._settle(connection, confirmed))
        return going_on and (len(rows) == BATCH or len(confirmed) < len(rows))

    def sweep(self) -> None:
        """Tell of jobs again that wait although they were told of."""
        if self._clock() - self._swept < _SWEEP_EVERY:
            return
        self._swept = self._clock()
        told = self._database.write((), lambda c: retell(c, self._retell_seconds))
        if told:
            log.warning("jobs that waited too long are told of again", extra={"count": told})

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            more = False
            try:
                self.sweep()
                more = self.carry()
            except (Unavailable, OutcomeUnknown) as error:
                log.debug("not now: %s", error.detail)
            except Exception:  # whatever it was: without this thread nothing would ever go out
                log.exception("the outbox cannot be carried")
            if not more:
                self._wake.wait(EVERY)

    def _take(self, connection: Connection) -> Sequence[Row]:
        found = connection.execute(_ANYTHING).fetchone()
        if found is None or not found["waits"]:
            return ()
        turn = connection.execute(_TAKE_TURN, {"me": self._me, "turn": TURN}).fetchone()
        if turn is None:
            return ()
        return connection.execute(_NEXT, (BATCH,)).fetchall()

    def _publish(self, rows: Sequence[Row], end: float, confirmed: list[int]) -> bool:
        """Whether the bus took all that there was time for."""
        for row in rows:
            if self._clock() >= end or self._stopping:
                return True
            try:
                self._bus.publish(row["subject"], row["payload"], row["message_id"])
            except Unavailable as error:
                self._tell(error.detail)
                return False
            confirmed.append(row["id"])
        self._tell("")
        return True

    def _settle(self, connection: Connection, confirmed: Sequence[int]) -> None:
        if confirmed:
            connection.execute(_DELETE, (list(confirmed),))
        connection.execute(_GIVE_BACK, (self._me,))

    def _tell(self, trouble: str) -> None:
        if bool(trouble) != self._silent:
            log.warning(trouble or "the bus takes messages again")
        self._silent = bool(trouble)
