"""Requests that never finish: many connections, a byte at a time (slowloris)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infraforge.wait import Deadline

_EVERY = 0.5


@dataclass(frozen=True)
class Trickled:
    """The connections' fate. ended: seconds until the server closed each; left: still open."""

    ended: tuple[float, ...]
    left: int


def trickle(
    origin: str,
    ca_file: Path,
    begin: bytes,
    drop: bytes,
    *,
    connections: int,
    within: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Trickled:
    """Send `begin` on each connection and then `drop` twice a second, for `within` seconds at most.

    drop: may be empty, for silence. meanwhile: called between the drops. A connection has ended
    when the server closed it, with or without an answer; one that is seen to be closed only after
    `within` counts as left, because it was not closed in time.
    """
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))
    ended: list[float] = []
    with contextlib.ExitStack() as opened:
        links: dict[ssl.SSLSocket, float] = {}
        for _ in range(connections):
            plain = opened.enter_context(
                socket.create_connection((where.hostname or "", where.port or 443), 10)
            )
            link = opened.enter_context(trust.wrap_socket(plain, server_hostname=where.hostname))
            link.sendall(begin)
            link.setblocking(False)
            links[link] = time.monotonic()
        deadline = Deadline(within)
        while links and not deadline.passed:
            meanwhile()
            for link, since in list(links.items()):
                if _is_over(link, drop) and not deadline.passed:
                    ended.append(time.monotonic() - since)
                    del links[link]
            deadline.pause(_EVERY)
        return Trickled(tuple(ended), len(links))


def _is_over(link: ssl.SSLSocket, drop: bytes) -> bool:
    """Send one drop; returns whether the server has closed the connection."""
    try:
        if drop:
            link.send(drop)
        while link.recv(4096):
            pass
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True
    return True
