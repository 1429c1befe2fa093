"""The front door's origin, in its one canonical form."""

from __future__ import annotations

import re

from infraforge.errors import UsageError

_ORIGIN = re.compile(r"https://(?P<host>[a-z0-9][a-z0-9.-]{0,252})(?::(?P<port>\d{1,5}))?/?", re.I)
_HTTPS = 443


def canonical_origin(origin: str) -> str:
    """The origin as browsers write it (RFC 6454 6.2): lower case, no default port, no slash.

    Every change's Origin header is compared with it: any other spelling would refuse them all.
    Raises UsageError for anything but https, a host and an optional port.
    """
    match = _ORIGIN.fullmatch(origin)
    port = int(match["port"] or _HTTPS) if match else 0
    if match is None or not 0 < port < 2**16:
        raise UsageError(
            f"{origin!r} is no origin; give --origin as https://HOST or https://HOST:PORT"
        )
    host = match["host"].lower().rstrip(".")
    return f"https://{host}" if port == _HTTPS else f"https://{host}:{port}"
