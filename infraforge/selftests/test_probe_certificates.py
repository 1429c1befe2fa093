"""An expired certificate is seen as one, stored or shown; so is one of a foreign CA."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from infraforge.cluster.pki import LEAF_LIFE, Authority
from infraforge.probes import certificates

HOUR = datetime.timedelta(hours=1)
LIVES = {
    "the usual": (LEAF_LIFE, certificates.LONG),
    "five days": (120 * HOUR, "ends in 120 hours"),
    "over": (-HOUR, "expired"),
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.load_or_create(tmp_path / "ca")


@contextlib.contextmanager
def serving(authority: Authority, life: datetime.timedelta, folder: Path) -> Iterator[int]:
    pair = authority.issue(["localhost"], ["127.0.0.1"], life)
    (folder / "both.pem").write_text(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_one, args=(server, context), daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(5)


def _one(server: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        client, _ = server.accept()
        with client, context.wrap_socket(client, server_side=True) as secure:
            secure.recv(1)


@pytest.mark.parametrize(("life", "said"), LIVES.values(), ids=LIVES)
def test_the_expiry_of_a_stored_certificate_is_told(
    authority: Authority, life: datetime.timedelta, said: str
) -> None:
    ca = x509.load_pem_x509_certificate(authority.ca_file.read_bytes())
    leaf = x509.load_pem_x509_certificate(authority.issue(["a"], (), life).cert_pem.encode())
    assert certificates.of(leaf, [ca]) == said


@pytest.mark.parametrize(("life", "said"), LIVES.values(), ids=LIVES)
def test_the_expiry_of_a_shown_certificate_is_told(
    authority: Authority, life: datetime.timedelta, said: str, tmp_path: Path
) -> None:
    with serving(authority, life, tmp_path) as port:
        assert certificates.shown_at(port, authority.ca_file) == said


def test_a_certificate_of_another_ca_is_not_good(authority: Authority, tmp_path: Path) -> None:
    other = Authority.load_or_create(tmp_path / "other")
    with serving(other, LEAF_LIFE, tmp_path) as port:
        assert "issuer" in str(certificates.shown_at(port, authority.ca_file))
    ca = x509.load_pem_x509_certificate(authority.ca_file.read_bytes())
    leaf = x509.load_pem_x509_certificate(other.issue(["a"]).cert_pem.encode())
    assert "not issued" in str(certificates.of(leaf, [ca]))
    assert certificates.of(leaf, [ca, other.certificate]) == certificates.LONG


def test_a_closed_port_says_nothing(authority: Authority) -> None:
    assert certificates.shown_at(9, authority.ca_file) is None


def test_a_certificate_with_another_lifetime_is_renewed(authority: Authority) -> None:
    usual, short = authority.issue(["a"]), authority.issue(["a"], (), 1000 * HOUR)
    assert authority.vouches_for(usual.cert_pem, ["a"], [])
    assert not authority.vouches_for(short.cert_pem, ["a"], [])
    assert authority.vouches_for(short.cert_pem, ["a"], [], 1000 * HOUR)
