"""Requests that never finish: connections that the server closed or left open."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.cluster import pki
from infraforge.workloads.trickle import trickle


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path / "ca")


@pytest.fixture
def server(authority: pki.Authority, tmp_path: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """A server that closes each connection after so many bytes."""
    pair = authority.issue(["localhost"], ["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    rule = {"bytes": 8}

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
            came = 0
            while came < rule["bytes"]:
                piece = secure.recv(1)
                if not piece:
                    return
                came += 1

    def accept(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", rule


def test_a_connection_that_the_server_closes_has_ended(
    server: tuple[str, dict[str, int]], authority: pki.Authority
) -> None:
    origin, _ = server
    looks = []
    trickled = trickle(
        origin, authority.ca_file, b"begin", b"a", connections=3, within=20,
        meanwhile=lambda: looks.append(1),
    )  # fmt: skip
    assert trickled.left == 0
    assert len(trickled.ended) == 3
    assert looks


def test_a_connection_that_the_server_keeps_is_left(
    server: tuple[str, dict[str, int]], authority: pki.Authority
) -> None:
    origin, rule = server
    rule["bytes"] = 10**6
    trickled = trickle(origin, authority.ca_file, b"begin", b"", connections=2, within=1.2)
    assert (trickled.left, trickled.ended) == (2, ())
