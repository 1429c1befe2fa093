"""OAuth2 Proxy's session cookie, `VALUE|TIME|SIGNATURE`: which session it names, and forgeries.

VALUE is base64 of the ticket `v2.ID.SECRET`; ID, in base64 again, is the key in the session store.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping

from infraforge.errors import Inconclusive


def store_key(cookie: str) -> str:
    """The key of the session in Redis. Raises Inconclusive for a cookie of another format."""
    try:
        version, identifier, _secret = _decode(_parts(cookie)[0]).decode().split(".")
        key = _decode(identifier).decode()
    except (ValueError, binascii.Error) as error:
        raise Inconclusive("the session cookie is not one of OAuth2 Proxy's tickets") from error
    if version != "v2":
        raise Inconclusive(f"the session cookie is a ticket of version {version!r}, not v2")
    return key


def _parts(cookie: str) -> tuple[str, str, str]:
    value, made, signature = cookie.split("|")
    return value, made, signature


def _other_value(cookie: str) -> str:
    value, made, signature = _parts(cookie)
    return f"{_flip(value)}|{made}|{signature}"


def _other_time(cookie: str) -> str:
    value, made, signature = _parts(cookie)
    return f"{value}|{int(made) + 3600}|{signature}"


def _other_signature(cookie: str) -> str:
    value, made, signature = _parts(cookie)
    return f"{value}|{made}|{_flip(signature)}"


def _no_signature(cookie: str) -> str:
    value, made, _signature = _parts(cookie)
    return f"{value}|{made}|"


def _ticket_only(cookie: str) -> str:
    return _decode(_parts(cookie)[0]).decode()


FORGERIES: Mapping[str, Callable[[str], str]] = {
    "value changed": _other_value,
    "time changed": _other_time,
    "signature changed": _other_signature,
    "signature missing": _no_signature,
    "ticket without wrapping": _ticket_only,
    "cut short": lambda cookie: cookie[: len(cookie) // 2],
    "empty": lambda cookie: "",
    "made up": lambda cookie: "0123456789abcdef" * 8,
}
"""Changes to a genuine cookie; none of the results may be accepted."""


def _flip(text: str) -> str:
    """Change the first character: the last one may carry bits that decoding drops."""
    return ("B" if text[0] == "A" else "A") + text[1:]


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
