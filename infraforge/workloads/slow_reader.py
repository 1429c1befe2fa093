"""Readers that read an answer a few bytes at a time, and so occupy whatever sends it."""

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
_SMALL = 4096  # bytes of receive buffer: the kernel must not accept what nobody reads


@dataclass(frozen=True)
class Read:
    """The result of one reader. status: 0 where no answer began; bytes: body bytes read so far.

    ended_after: seconds until the server closed the connection; None where it stayed open.
    """

    status: int
    bytes: int
    ended_after: float | None


class _Reader:
    def __init__(self, link: ssl.SSLSocket) -> None:
        self._link = link
        self._began = time.monotonic()
        self._head = b""
        self._body = 0
        self.ended_after: float | None = None

    def read(self, most: int) -> None:
        """Read at most `most` bytes, if there are any."""
        try:
            data = self._link.recv(most)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self.ended_after = time.monotonic() - self._began
        elif b"\r\n\r\n" in self._head:
            self._body += len(data)
        else:
            self._head += data

    @property
    def result(self) -> Read:
        words = self._head.split(b" ", 2)
        status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        return Read(status, self._body, self.ended_after)


def read_slowly(
    origin: str,
    ca_file: Path,
    request: bytes,
    *,
    readers: int,
    at_once: int,
    within: float,
    meanwhile: Callable[[], None],
) -> list[Read]:
    """Send `request` on `readers` connections; read `at_once` bytes of each, twice a second.

    meanwhile: called between two rounds, for `within` seconds or until the server has closed all.
    """
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))
    with contextlib.ExitStack() as opened:
        connections = []
        for _ in range(readers):
            plain = opened.enter_context(socket.socket())
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
            plain.settimeout(10)
            plain.connect((where.hostname or "", where.port or 443))
            link = opened.enter_context(trust.wrap_socket(plain, server_hostname=where.hostname))
            link.sendall(request)
            link.setblocking(False)
            connections.append(_Reader(link))
        deadline = Deadline(within)
        while not deadline.passed and any(one.ended_after is None for one in connections):
            for one in connections:
                if one.ended_after is None:
                    one.read(at_once)
            meanwhile()
            deadline.pause(_EVERY)
        return [one.result for one in connections]
