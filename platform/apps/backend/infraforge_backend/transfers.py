"""How many files a process sends and receives at once, and how slowly they may be read.

A thread that sends is blocked for as long as its reader does not read. Two bounds keep threads
free for everybody else: transfers have places, fewer than there are threads, and each piece of an
answer must be taken within `PIECE_SECONDS`, or the connection is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import flask
from infraforge_shared.problems import Problem

PIECE_SECONDS = 20.0
"""For one piece of an answer: 256 KiB of a file, or all of a JSON document."""


class Places:
    """Places for so many transfers of a kind in this process."""

    def __init__(self, kind: str, number: int) -> None:
        self._kind = kind
        self._free = threading.BoundedSemaphore(number)

    def take(self) -> Callable[[], None]:
        """A place, until what is returned is called; calling that again does nothing.

        Raises Problem 503 when none is free.
        """
        if not self._free.acquire(blocking=False):
            again = {"Retry-After": "2", "Connection": "close"}
            raise Problem(503, f"too many {self._kind} at once", again)
        taken = threading.Lock()

        def give_back() -> None:
            if taken.acquire(blocking=False):
                self._free.release()

        return give_back


UPLOADS = Places("uploads", 5)
DOWNLOADS = Places("downloads", 5)


class Sending:
    """The pieces of an answer that holds a place until it is closed, sent or not."""

    def __init__(self, pieces: Iterator[bytes], give_back: Callable[[], None]) -> None:
        self._pieces = pieces
        self._give_back = give_back

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """The server calls this at the end, also where the reader went away or never came."""
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._give_back()


class _Socket(Protocol):
    def settimeout(self, value: float | None, /) -> None: ...


def install(app: flask.Flask) -> None:
    """Bound, for every answer, how long each of its pieces may wait for the reader."""

    def bound(seconds: float | None) -> None:
        # where gunicorn is not the server (tests), there is no socket to see
        link: _Socket | None = flask.request.environ.get("gunicorn.socket")
        if link is not None:
            link.settimeout(seconds)

    @app.before_request
    def receive() -> None:
        bound(None)  # a body has the ingress' own limit

    @app.after_request
    def send(response: flask.Response) -> flask.Response:
        bound(PIECE_SECONDS)
        return response
