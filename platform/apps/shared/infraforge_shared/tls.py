"""TLS whose reads and writes are judged by their own errors alone.

OpenSSL keeps a queue of errors for each thread, and what it says of an operation counts only where
that queue was empty before it (SSL_get_error(3)). CPython does not empty it before it reads or
writes, and since 3.13 leaves a system error in it (python/cpython issue 148594): a thread that has
met one broken connection then breaks healthy ones, with the former's error.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
from typing import Any

_LIBRARY = ctypes.PyDLL(_ssl.__file__)  # and whatever it is linked with: the very OpenSSL in use
_clear = _LIBRARY.ERR_clear_error
_clear.restype = None
_clear.argtypes = []


class _Clean:
    """Begins every operation of its other parent with an empty queue."""

    def read(self, *args: Any) -> Any:
        """As the other's; a socket's `recv` and `recv_into` come here, too."""
        _clear()
        return super().read(*args)  # type: ignore[misc]

    def write(self, data: Any) -> int:
        """As the other's."""
        _clear()
        written: int = super().write(data)  # type: ignore[misc]
        return written

    def do_handshake(self, *args: Any) -> None:
        """As the other's."""
        _clear()
        super().do_handshake(*args)  # type: ignore[misc]


class Socket(_Clean, ssl.SSLSocket):
    """A socket."""

    def send(self, *args: Any) -> int:
        """As its parent's; `sendall` comes here, too."""
        _clear()
        return super().send(*args)


class Object(_Clean, ssl.SSLObject):
    """The same for what does not own its socket, as in asyncio."""


def install() -> None:
    """Have every context of this process make such sockets and objects."""
    ssl.SSLContext.sslsocket_class = Socket
    ssl.SSLContext.sslobject_class = Object
