"""The port for probes of a process that answers nothing else, over real TLS on this machine."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infraforge.cluster import pki
from infraforge.selftests import apps  # noqa: F401  makes the packages importable

from infraforge_shared import probes  # isort: skip

Certify = Callable[[], str]


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path / "ca")


@pytest.fixture
def certify(authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certify:
    """Puts a new certificate in place; the certificate."""
    crt, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    monkeypatch.setattr(probes, "CERTIFICATE", str(crt))
    monkeypatch.setattr(probes, "KEY", str(key))
    monkeypatch.setattr(probes, "PORT", 0)  # any that is free

    def issue() -> str:
        pair = authority.issue(["localhost"], ["127.0.0.1"])
        crt.write_text(pair.cert_pem)
        key.write_text(pair.key_pem)
        return pair.cert_pem

    return issue


@pytest.fixture
def lacks() -> list[str]:
    """What the process lacks at present."""
    return []


@pytest.fixture
def port(certify: Certify, lacks: list[str]) -> Iterator[int]:
    certify()
    server = probes.serve({"/healthz": lambda: [], "/readyz": lambda: lacks})
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def trusting(authority: pki.Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_file))


def asked(port: int, path: str, authority: pki.Authority) -> tuple[int, str]:
    context = trusting(authority)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_look_that_lacks_something_is_503_in_words(
    port: int, lacks: list[str], authority: pki.Authority
) -> None:
    assert asked(port, "/readyz", authority) == (200, "ok")
    lacks += ["nats", "a login"]
    assert asked(port, "/readyz", authority) == (503, "lacks nats, a login")
    assert asked(port, "/healthz", authority) == (200, "ok")
    assert asked(port, "/metrics", authority) == (404, "lacks such a page")


def test_a_renewed_certificate_is_shown_to_the_next_connection(
    port: int, authority: pki.Authority, certify: Certify
) -> None:
    """Whoever holds the port open for months must not come to show an expired one."""
    renewed = certify()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        trusting(authority).wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown == ssl.PEM_cert_to_DER_cert(
        renewed.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )


def test_one_that_says_nothing_keeps_no_other_waiting(port: int, authority: pki.Authority) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        assert asked(port, "/healthz", authority) == (200, "ok")


def test_a_missing_certificate_ends_the_process_at_once(certify: Certify) -> None:
    with pytest.raises(OSError, match="No such file"):
        probes.serve({})
    certify()
    server = probes.serve({})
    server.shutdown()
    server.server_close()
