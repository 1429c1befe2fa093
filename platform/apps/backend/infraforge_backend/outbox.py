"""What the platform tells the message bus, consistent with the database by an outbox.

A message is a row written in the transaction of the change it tells of: it exists exactly when
the change does, and a bus that is away delays it. The relay (relay.py) publishes the rows in order
and deletes each one once a stream has confirmed it. A relay that dies between the two publishes
again under the same message id: the stream drops it within its window, and every consumer takes an
id once anyway. So an id is the server's own, made with the row that the message is about: a name
that a client chose may come again, for something else.

Publishing beside the transaction would lose or invent messages whenever one of the two fails;
a two-phase commit is what NATS does not have.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from infraforge_backend.database import Connection

_INSERT = "INSERT INTO outbox (message_id, subject, payload) VALUES (%s, %s, %s)"


def leave(connection: Connection, subject: str, text: str, message_id: str) -> None:
    """Leave a message; it goes out if, and only if, the surrounding transaction is committed."""
    connection.execute(_INSERT, (message_id, subject, text))


def put(connection: Connection, subject: str, message: Mapping[str, object]) -> None:
    """Leave a message as JSON, under an id of its own."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    leave(connection, subject, text, uuid.uuid4().hex)


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
