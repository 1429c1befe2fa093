"""Proves that this page served a form, to this browser, for this very request.

The hidden field is an HMAC over the time, the browser's cookie and the authorization request. The
page refuses a form from elsewhere, from another browser, or for another request. It keeps no state.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable

COOKIE = "__Secure-infraforge_login"
LIFE = 15 * 60
"""Seconds a form stays valid: as long as OAuth2 Proxy waits for the answer."""

_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_FIELD = re.compile(r"(\d{1,12})\.([0-9a-f]{64})")


def new_cookie() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def well_formed(cookie: str | None) -> bool:
    return bool(cookie and _COOKIE.fullmatch(cookie))


class Seal:
    """Makes and checks the hidden field. clock: seconds since the epoch."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def make(self, cookie: str, query: str) -> str:
        now = int(self._clock())
        return f"{now}.{self._mac(now, cookie, query)}"

    def holds(self, field: str, cookie: str | None, query: str) -> bool:
        """Whether `field` was made for this cookie and request, not more than LIFE ago."""
        parts = _FIELD.fullmatch(field)
        if not parts or cookie is None or not well_formed(cookie):
            return False
        made = int(parts[1])
        genuine = hmac.compare_digest(parts[2], self._mac(made, cookie, query))
        return genuine and 0 <= self._clock() - made <= LIFE

    def _mac(self, made: int, cookie: str, query: str) -> str:
        text = f"{made}\n{cookie}\n{query}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
