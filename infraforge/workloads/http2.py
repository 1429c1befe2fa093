"""One HTTP/2 connection (RFC 9113) whose frames the test controls."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from infraforge.workloads.visitor import TIMEOUT, Answer, NoAnswer

_LOOK_EVERY = 20  # requests
_LAST_WORD = 2.0  # seconds of silence after which the server has said its last word


class Http2:
    """A connection to one origin. Not thread-safe."""

    def __init__(self, link: ssl.SSLSocket, authority: str) -> None:
        self._link = link
        self._authority = authority
        settings = h2.config.H2Configuration(header_encoding="utf-8", validate_inbound_headers=True)
        self._h2 = h2.connection.H2Connection(settings)
        self._h2.initiate_connection()
        self._flush()

    def get(self, target: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """The answer to one GET. Raises NoAnswer when connection or stream ends first."""
        stream = self._begin(target, headers)
        headers_seen: list[tuple[str, str]] = []
        body = b""
        while True:
            for event in self._events():
                if isinstance(event, h2.events.ConnectionTerminated):
                    raise NoAnswer(f"GET {target[:60]}: the server closed the connection")
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    headers_seen = [(str(name), str(value)) for name, value in event.headers]
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamReset):
                    raise NoAnswer(f"GET {target[:60]}: the server reset the stream")
                elif isinstance(event, h2.events.StreamEnded):
                    status = int(dict(headers_seen)[":status"])
                    return Answer(
                        status, tuple(pair for pair in headers_seen if pair[0][0] != ":"), body
                    )

    def reset_rapidly(
        self, target: str, times: int, headers: Iterable[tuple[str, str]] = ()
    ) -> int:
        """Open and reset a stream up to `times` times (CVE-2023-44487); how many were processed.

        A server that limits this says so (GOAWAY, RFC 9113 6.8) with the last stream it processed,
        and may go on reading only to discard; or it closes the connection, which ends the loop.
        """
        sent, asked = tuple(headers), 0
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError, EOFError):
            while asked < times:
                asked += 1
                self._h2.reset_stream(self._begin(target, sent))
                self._flush()
                if asked % _LOOK_EVERY == 0 and (taken := self._enough(0)) is not None:
                    return taken
            if (taken := self._enough(_LAST_WORD)) is not None:
                return taken
        return asked

    def _enough(self, within: float) -> int | None:
        """How many streams the server says it processed, if it does in time. Raises EOFError."""
        while self._link.pending() or select.select([self._link], [], [], within)[0]:
            data = self._link.recv(65536)
            if not data:
                raise EOFError
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    return ((event.last_stream_id or 0) + 1) // 2
        return None

    def _begin(self, target: str, headers: Iterable[tuple[str, str]]) -> int:
        stream = self._h2.get_next_available_stream_id()
        head = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", self._authority),
            (":path", target),
            *((name.lower(), value) for name, value in headers),
        ]
        self._h2.send_headers(stream, head, end_stream=True)
        self._flush()
        return stream

    def _events(self) -> list[h2.events.Event]:
        data = self._link.recv(65536)
        if not data:
            raise NoAnswer("the server closed the connection")
        events = self._h2.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                length = event.flow_controlled_length
                if length:
                    self._h2.acknowledge_received_data(length, event.stream_id)
        self._flush()
        return events

    def _flush(self) -> None:
        self._link.sendall(self._h2.data_to_send())


@contextlib.contextmanager
def connected(origin: str, ca_file: Path) -> Iterator[Http2]:
    """An open connection, closed at the end. Raises NoAnswer where the server has no HTTP/2."""
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))
    trust.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((where.hostname or "", where.port or 443), TIMEOUT) as plain,
            trust.wrap_socket(plain, server_hostname=where.hostname) as link,
        ):
            if link.selected_alpn_protocol() != "h2":
                raise NoAnswer("the server did not agree to HTTP/2")
            yield Http2(link, where.netloc)
    except (OSError, h2.exceptions.ProtocolError) as error:
        raise NoAnswer(f"HTTP/2 to {origin}: {type(error).__name__}: {error}") from error
