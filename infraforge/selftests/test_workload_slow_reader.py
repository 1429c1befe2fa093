"""Slow readers: the answers they got, and when the server dropped them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.cluster import pki
from infraforge.workloads.slow_reader import read_slowly


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path / "ca")


@pytest.fixture
def server(authority: pki.Authority, tmp_path: Path) -> Iterator[str]:
    """Answers the first connection in full and the second one not at all."""
    pair = authority.issue(["localhost"], ["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")

    def serve(client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
            secure.recv(4096)
            if number == 0:
                secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100)

    def accept(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for number in range(2):
                client, _ = listening.accept()
                threading.Thread(target=serve, args=(client, number), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


def test_answers_to_readers_are_told_apart(server: str, authority: pki.Authority) -> None:
    rounds: list[None] = []
    answered, refused = read_slowly(
        server,
        authority.ca_file,
        b"GET / HTTP/1.1\r\n\r\n",
        readers=2,
        at_once=60,
        within=10,
        meanwhile=lambda: rounds.append(None),
    )
    assert (answered.status, refused.status) == (200, 0)
    assert 0 < answered.bytes <= 100
    assert answered.ended_after is not None
    assert refused.ended_after is not None
    assert rounds
