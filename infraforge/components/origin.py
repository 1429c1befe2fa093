"""Where users find the front door, written in one way only."""

from __future__ import annotations

import re

from infraforge.errors import UsageError

_ORIGIN = re.compile(r"https://(?P<host>[a-z0-9][a-z0-9.-]{0,252})(?::(?P<port>\d{1,5}))?/?", re.I)
_HTTPS = 443


def canonical_origin(origin: str) -> str:
    """The origin as browsers write it (RFC 6454 6.2): lower case, no default port, no slash.

    Every change is compared with it: another way of writing the same place would refuse them all.
    Raises UsageError for what is more, or less, than https, a host and perhaps a port.
    """
    found = _ORIGIN.fullmatch(origin)
    port = int(found["port"] or _HTTPS) if found else 0
    if found is None or not 0 < port < 2**16:
        raise UsageError(f"the origin must be https://HOST or https://HOST:PORT, not {origin!r}")
    host = found["host"].lower().rstrip(".")
    return f"https://{host}" if port == _HTTPS else f"https://{host}:{port}"
