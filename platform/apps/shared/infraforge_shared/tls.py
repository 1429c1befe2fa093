"""TLS connections that clear OpenSSL's error queue before each operation.

OpenSSL keeps one error queue per thread. Its report on an operation is valid only if the queue was
empty before that operation (SSL_get_error(3)). CPython does not clear the queue before it reads or
writes, and since 3.13 it leaves a system error there (python/cpython issue 148594). A thread that
has met one broken connection then breaks healthy ones with the broken one's error.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
from typing import Any

_LIBRARY = ctypes.PyDLL(_ssl.__file__)  # finds symbols of the OpenSSL that _ssl is linked with
_clear = _LIBRARY.ERR_clear_error
_clear.restype = None
_clear.argtypes = []


class _Clean:
    """Clears the queue before every operation of the class that it is mixed into."""

    def read(self, *args: Any) -> Any:
        """Clear, then read; a socket's `recv` and `recv_into` call this."""
        _clear()
        return super().read(*args)  # type: ignore[misc]

    def write(self, data: Any) -> int:
        """Clear, then write."""
        _clear()
        written: int = super().write(data)  # type: ignore[misc]
        return written

    def do_handshake(self, *args: Any) -> None:
        """Clear, then shake hands."""
        _clear()
        super().do_handshake(*args)  # type: ignore[misc]


class Socket(_Clean, ssl.SSLSocket):
    """An SSLSocket that clears the queue."""

    def send(self, *args: Any) -> int:
        """Clear, then send; `sendall` calls this."""
        _clear()
        return super().send(*args)


class Object(_Clean, ssl.SSLObject):
    """An SSLObject that clears the queue. It does not own its socket; asyncio uses it."""


def install() -> None:
    """Make every SSLContext of this process create these sockets and objects."""
    ssl.SSLContext.sslsocket_class = Socket
    ssl.SSLContext.sslobject_class = Object
