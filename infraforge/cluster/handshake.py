"""A TLS handshake with whoever answers on a port of this machine, for what is shown in it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT = 10.0
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""How a client asks PostgreSQL for TLS (protocol documentation, SSLRequest)."""


class NoTLS(OSError):
    """PostgreSQL answers, and has no TLS."""


@contextlib.contextmanager
def shaken(port: int, ca_file: Path, *, postgres: bool = False) -> Iterator[ssl.SSLSocket]:
    """A connection to `localhost`, verified against `ca_file` alone, while the block runs.

    Raises what the `ssl` module raises of a certificate that is no good; NoTLS; OSError.
    """
    trust = ssl.create_default_context(cafile=str(ca_file))
    with contextlib.ExitStack() as stack:
        plain = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
        stack.callback(plain.close)
        if postgres:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise NoTLS
        yield stack.enter_context(trust.wrap_socket(plain, server_hostname="localhost"))


def shown(port: int, ca_file: Path, *, postgres: bool = False) -> bytes:
    """The certificate that is shown there (DER). Raises as `shaken`."""
    with shaken(port, ca_file, postgres=postgres) as secure:
        return secure.getpeercert(binary_form=True) or b""
