"""What the platform tells the message bus, consistent with the database by an outbox.

A message is a row written in the transaction of the change it tells of: it exists exactly when
the change does, and a bus that is away delays it. The relay publishes the rows in order and deletes
each one once a stream has confirmed it. A relay that dies between the two publishes again under the
same message id: the stream drops it within its window, and every consumer takes an id once anyway.

Publishing beside the transaction would lose or invent messages whenever one of the two fails;
a two-phase commit is what NATS does not have.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Mapping

import psycopg
from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_backend.bus import Bus
from infraforge_backend.database import Connection, Database

log = logging.getLogger(__name__)

EVERY = 0.5
_BATCH = 50  # in one transaction, which may be idle for 5 s at most
_LOCK = 0x1F0B0F
_INSERT = "INSERT INTO outbox (message_id, subject, payload) VALUES (%s, %s, %s)"
_TAKE_TURN = "SELECT pg_try_advisory_xact_lock(%s) AS mine"
_NEXT = "SELECT id, message_id, subject, payload FROM outbox ORDER BY id LIMIT %s"


def put(
    connection: Connection, subject: str, message: Mapping[str, object], message_id: str = ""
) -> None:
    """Leave a message; it goes out if, and only if, the surrounding transaction is committed."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    connection.execute(_INSERT, (message_id or uuid.uuid4().hex, subject, text))


def tell(
    connection: Connection, name: str, actor: str, project: uuid.UUID, **about: object
) -> None:
    """Leave the event `events.NAME.PROJECT`."""
    message = {"event": name, "actor": actor, "project": str(project), **about}
    put(connection, f"events.{name}.{project}", message)


class Outbox:
    """Domain events of one process. Where there is no bus, nothing is kept for one."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def event(
        self, connection: Connection, name: str, actor: str, project: uuid.UUID, **about: object
    ) -> None:
        """`events.NAME.PROJECT`, with who did it and to what."""
        if self.enabled:
            tell(connection, name, actor, project, **about)


class Relay:
    """Carries the outbox to the bus. Of all processes one at a time does, so that order is kept."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._wake = threading.Event()
        self._stopping = False
        self._silent = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def wake(self) -> None:
        """There is something new: do not wait for the next look."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                more = self._database.write((), self._carry) == _BATCH
            except (Unavailable, OutcomeUnknown) as error:
                log.debug("not now: %s", error.detail)
                more = False
            except psycopg.Error:
                log.exception("the outbox cannot be read")
                more = False
            if not more:
                self._wake.wait(EVERY)

    def _carry(self, connection: Connection) -> int:
        """Publish the oldest rows in order, up to the first that the bus does not take."""
        turn = connection.execute(_TAKE_TURN, (_LOCK,)).fetchone()
        if turn is None or not turn["mine"]:
            return 0
        confirmed = []
        for row in connection.execute(_NEXT, (_BATCH,)).fetchall():
            try:
                self._bus.publish(row["subject"], row["payload"], row["message_id"])
            except Unavailable as error:
                self._tell(error.detail)
                break
            confirmed.append(row["id"])
        if confirmed:
            self._tell("")
            connection.execute("DELETE FROM outbox WHERE id = ANY(%s)", (confirmed,))
        return len(confirmed)

    def _tell(self, trouble: str) -> None:
        if bool(trouble) != self._silent:
            log.warning(trouble or "the bus takes messages again")
        self._silent = bool(trouble)
