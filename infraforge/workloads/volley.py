"""Many requests at one moment, each on its own connection that was opened before.

A rate limit counts requests that arrive, not answers: sent one after the other, a slow upstream
would keep a client below any limit.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infraforge.workloads.visitor import TIMEOUT, Answer, NoAnswer


@dataclass(frozen=True)
class Shot:
    """One request. headers: as sent; body: if there is one, the request is a POST."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = ""


def volley(origin: str, ca_file: Path, shots: Sequence[Shot]) -> list[int]:
    """The status of each shot; all are sent before the first answer is read, as in `answers`."""
    return [answer.status for answer in answers(origin, ca_file, shots)]


def answers(origin: str, ca_file: Path, shots: Sequence[Shot]) -> list[Answer]:
    """The answer to each shot; all are sent before the first answer is read.

    Raises NoAnswer when a connection fails: then there was not even a "too many".
    """
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))
    with contextlib.ExitStack() as opened:
        connections = []
        try:
            for _ in shots:
                connection = http.client.HTTPSConnection(
                    where.hostname or "", where.port, timeout=TIMEOUT, context=trust
                )
                opened.callback(connection.close)
                connection.connect()
                connections.append(connection)
            for connection, shot in zip(connections, shots, strict=True):
                method = "POST" if shot.body else "GET"
                connection.request(method, shot.path, shot.body or None, dict(shot.headers))
            return [_read(connection) for connection in connections]
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"a volley of {len(shots)}: {type(error).__name__}: {error}") from error


def _read(connection: http.client.HTTPSConnection) -> Answer:
    answer = connection.getresponse()
    headers = tuple((name.lower(), value) for name, value in answer.getheaders())
    return Answer(answer.status, headers, answer.read())
