"""The backend's reads at Vault over a connection that is kept, and may have been closed since."""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from infraforge.selftests import app_backend  # noqa: F401

vault = importlib.import_module("infraforge_backend.vault")
config = importlib.import_module("infraforge_backend.config")
problems = importlib.import_module("infraforge_backend.problems")

_BODY = b'{"data": {"name": "devon"}}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_BODY),
    _BODY,
)


class Closing:
    """A Vault that answers so many requests on each connection, and hangs up on the next."""

    def __init__(self, answers: int) -> None:
        self.connections = 0
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._socket.accept()
                self.connections += 1
                with link:
                    for _ in range(self._answers):
                        link.recv(65536)
                        link.sendall(_ANSWER)
                    link.recv(65536)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextlib.contextmanager
def closing(answers: int) -> Iterator[Closing]:
    server = Closing(answers)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.close()  # and its thread ends with the client's last connection


def reader(address: str) -> Any:
    made = vault.VaultCredentials(config.Config(vault_address=address, ca_file=""))
    made._client.token = "one"
    return made


def test_a_read_is_sent_again_when_the_kept_connection_was_closed() -> None:
    with closing(1) as server:
        credentials = reader(server.address)
        assert [credentials.look_up("a"), credentials.look_up("b")] == [{"name": "devon"}] * 2
        assert server.connections == 2


def test_a_vault_that_only_hangs_up_is_asked_twice_and_is_away() -> None:
    with closing(0) as server:
        credentials = reader(server.address)
        with pytest.raises(problems.Unavailable):
            credentials.look_up("a")
        assert server.connections == 2
