"""The impostor's program over real sockets, and the parser of its output."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.cluster.pki import Authority
from infraforge.errors import ClusterError
from infraforge.faults import impostor_pod
from infraforge.probes import heard

SSL_REQUEST = struct.pack("!II", 8, impostor_pod.SSL_REQUEST)
STARTUP = struct.pack("!II", 24, 196608) + b"user\0v-backend\0\0\0"
Told = dict[str, str] | None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.load_or_create(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def trust(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    pair = authority.issue(["localhost"])
    (folder / "tls.crt").write_text(pair.cert_pem)
    (folder / "tls.key").write_text(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


@contextlib.contextmanager
def caller(trust: ssl.SSLContext) -> Iterator[tuple[socket.socket, list[Told]]]:
    """A caller's socket, and what the impostor heard from it once the block has ended."""
    ours, its = socket.socketpair()
    told: list[Told] = []
    thread = threading.Thread(target=lambda: told.append(impostor_pod.hear(its, trust)))
    thread.start()
    try:
        yield ours, told
    finally:
        ours.close()
        thread.join(10)
        its.close()


def test_a_client_that_trusts_the_certificate_is_heard(
    trust: ssl.SSLContext, authority: Authority
) -> None:
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    with caller(trust) as (ours, told):
        ours.sendall(SSL_REQUEST)
        assert ours.recv(1) == b"S"
        with client.wrap_socket(ours, server_hostname="localhost") as safe:
            safe.sendall(STARTUP)
    assert told == [{"heard": "a startup message", "user": "v-backend"}]


def test_a_client_that_does_not_trust_it_tells_nothing(
    trust: ssl.SSLContext, tmp_path: Path
) -> None:
    foreign = Authority.load_or_create(tmp_path)
    client = ssl.create_default_context(cafile=str(foreign.ca_file))
    with caller(trust) as (ours, told):
        ours.sendall(SSL_REQUEST)
        ours.recv(1)
        with pytest.raises(ssl.SSLCertVerificationError):
            client.wrap_socket(ours, server_hostname="localhost")
    assert [line and line["heard"] for line in told] == ["nothing"]


def test_a_client_without_tls_is_heard_too(trust: ssl.SSLContext) -> None:
    with caller(trust) as (ours, told):
        ours.sendall(STARTUP)
    assert told == [{"heard": "a startup message", "user": "without TLS"}]


def test_a_silent_probe_is_not_a_client(trust: ssl.SSLContext) -> None:
    with caller(trust) as (_ours, told):
        pass
    assert told == [None]


def test_its_output_is_understood() -> None:
    parsed = heard.read(
        '{"heard": "nothing", "why": "unknown ca"}\n{"heard": "a startup message", "user": "v-1"}\n'
    )
    assert parsed == heard.Heard(2, frozenset({"v-1"}), frozenset({"unknown ca"}))


@pytest.mark.parametrize("output", ["Traceback", "[]", "{}", '{"heard": "a startup message"}'])
def test_other_output_is_an_error(output: str) -> None:
    with pytest.raises(ClusterError):
        heard.read(output)
