"""Certificates: those that are stored in the cluster, those that servers show, and their ends.

A server's certificate is looked at by verifying it, never by leaving that out: one that has run
out is told from one that is somebody else's by what OpenSSL says of it.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.table import Cell

LONG = "in force, for more than a week"
_WEEK = datetime.timedelta(days=7)
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_TIMEOUT = 10.0
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""How a client asks PostgreSQL for TLS (protocol documentation, SSLRequest)."""

SHOWN = {
    # Service → namespace, port
    "backend": ("infraforge-application", 8443),
    "frontend": ("infraforge-application", 8443),
    "ingress": ("infraforge-access", 443),
    "ldap": ("infraforge-security", 636),
    "login": ("infraforge-access", 8443),
    "minio": ("infraforge-data", 9000),
    "oauth2-proxy": ("infraforge-access", 4180),
    "postgres": ("infraforge-data", 5432),
    "redis-cache": ("infraforge-data", 6379),
    "redis-sessions": ("infraforge-access", 6379),
    "vault": ("infraforge-security", 8200),
}


def servers(site: Site) -> tuple[str, ...]:
    """Those of SHOWN that this platform has."""
    return tuple(name for name in SHOWN if name in site.profile.components)


def stored(site: Site) -> Mapping[str, Cell]:
    """What is to be said of each certificate that the platform keeps, by its place."""
    ca_pem = site.ca_file.read_bytes()
    authority = x509.load_pem_x509_certificate(ca_pem)
    found: dict[str, Cell] = {"platform CA": of(ca_pem, authority)}
    secrets: Any = site.core.list_secret_for_all_namespaces(
        label_selector="app.kubernetes.io/part-of=infraforge",
        field_selector="type=kubernetes.io/tls",
    )
    for secret in secrets.items:
        place = f"Secret {secret.metadata.namespace}/{secret.metadata.name}"
        found[place] = of(base64.b64decode(secret.data["tls.crt"]), authority)
    return found


def of(pem: bytes, authority: x509.Certificate) -> Cell:
    """LONG, or in words what is wrong with the certificate."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "not issued by the platform CA"
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        return f"not in force before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
    return _until(certificate.not_valid_after_utc)


def shown_by(site: Site, service: str) -> Cell:
    """What is to be said of the certificate that a Service shows; None where none was seen."""
    namespace, port = SHOWN[service]
    try:
        with site.forward(namespace, f"svc/{service}", port) as local:
            return shown_at(local, site.ca_file, postgres=service == "postgres")
    except ClusterError:
        return None


def shown_at(port: int, ca_file: Path, *, postgres: bool = False) -> Cell:
    """The same of whoever answers on this machine's port."""
    trust = ssl.create_default_context(cafile=str(ca_file))
    try:
        with contextlib.ExitStack() as stack:
            plain = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
            stack.callback(plain.close)
            if postgres:
                plain.sendall(_SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return "no TLS"
            secure = stack.enter_context(trust.wrap_socket(plain, server_hostname="localhost"))
            end = str((secure.getpeercert() or {})["notAfter"])
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return "expired"
        return error.verify_message
    except OSError:
        return None
    return _until(datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(end), datetime.UTC))


def _until(end: datetime.datetime) -> str:
    left = end - datetime.datetime.now(datetime.UTC)
    if left <= datetime.timedelta():
        return "expired"
    return LONG if left > _WEEK else f"ends in {left.total_seconds() / 3600:.0f} hours"
