"""A limit on how long a thread waits for PostgreSQL.

libpq waits for an answer for ever, and the server's own statement_timeout does not help when
the server is stopped. The watchdog shuts the socket of a connection that is over its time; the
waiting thread then gets the same OperationalError as for any broken connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import psycopg

_LOOK_EVERY = 0.25


class Watchdog:
    """Ends connections that wait too long. One thread for the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[float, psycopg.Connection[object]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    @contextlib.contextmanager
    def limit(self, connection: psycopg.Connection[object], seconds: float) -> Iterator[None]:
        """While the block runs, `connection` is ended once `seconds` are over."""
        key = id(connection)
        with self._lock:
            self._watched[key] = (time.monotonic() + seconds, connection)
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(key, None)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):
            now = time.monotonic()
            with self._lock:  # held: the connection must not be closed and its number reused
                late = [key for key, (end, _c) in self._watched.items() if end <= now]
                for key in late:
                    _shut(self._watched.pop(key)[1])


def _shut(connection: psycopg.Connection[object]) -> None:
    if connection.closed:
        return
    # an error: it broke meanwhile, as wanted
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)
