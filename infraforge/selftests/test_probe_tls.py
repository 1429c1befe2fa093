"""Which TLS versions are spoken: a server's refusal differs from the client's own inability."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.cluster import pki
from infraforge.probes import tls

NEW, OLD = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_1


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path / "ca")


@pytest.fixture
def origin(authority: pki.Authority, tmp_path: Path) -> Iterator[str]:
    pair = authority.issue(["localhost"], ["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # speaks 1.2 and newer
    context.load_cert_chain(tmp_path / "both.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_one, args=(server, context), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
    thread.join(5)


@pytest.mark.parametrize(
    ("cipher", "said"),
    [("ECDHE-ECDSA-AES128-GCM-SHA256", tls.SPOKEN), ("AES128-SHA", tls.REFUSED)],
)
def test_one_cipher_is_offered_and_no_other(
    origin: str, authority: pki.Authority, cipher: str, said: str
) -> None:
    assert cipher in tls.ciphers()
    assert tls.speaks_cipher(origin, authority.ca_file, cipher) == said


def _one(server: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        client, _ = server.accept()
        with client, context.wrap_socket(client, server_side=True) as secure:
            secure.recv(1)


def test_an_accepted_version_is_spoken(origin: str, authority: pki.Authority) -> None:
    assert tls.speaks(origin, authority.ca_file, NEW) == tls.SPOKEN


def test_an_old_version_is_refused_by_the_server(origin: str, authority: pki.Authority) -> None:
    assert tls.speaks(origin, authority.ca_file, OLD) == tls.REFUSED


def test_a_certificate_that_cannot_be_verified_says_nothing(origin: str, tmp_path: Path) -> None:
    other = pki.Authority.load_or_create(tmp_path / "other")
    assert tls.speaks(origin, other.ca_file, NEW) is None


def test_a_closed_port_says_nothing(authority: pki.Authority) -> None:
    assert tls.speaks("https://127.0.0.1:9", authority.ca_file, OLD) is None
