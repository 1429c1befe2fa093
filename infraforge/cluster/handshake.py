"""A TLS handshake with a port of this machine, to see which certificate it shows."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

_TIMEOUT = 10.0
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""A PostgreSQL client's request for TLS (protocol documentation, SSLRequest)."""


class NoTLS(OSError):
    """PostgreSQL answers, but without TLS."""


def shown(port: int, ca_file: Path, *, postgres: bool = False) -> bytes:
    """The certificate that `localhost` shows on the port (DER), verified against `ca_file` alone.

    Raises ssl.SSLError for a certificate that does not verify; NoTLS; OSError.
    """
    trust = ssl.create_default_context(cafile=str(ca_file))
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT) as plain:
        if postgres:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise NoTLS
        with trust.wrap_socket(plain, server_hostname="localhost") as secure:
            return secure.getpeercert(binary_form=True) or b""
