"""Wrong passwords slow down whoever sends them, and lock nobody out.

An account lock would be a weapon: a stranger's ten wrong passwords would keep the owner of the name
out. So this module counts tries per name and place. A place is an address, or a browser in which
this person signed in before (a *known* browser, see `Known`; the idea is OWASP's "device cookie").
After `FREE` wrong passwords from a place, the next is checked only after a delay, which doubles up
to `LONGEST`. While many places guess at a name, each unknown one has a single free try. What others
do never delays a known browser.

Each process counts for itself: every replica grants the same number again, and a restart forgets.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from infraforge_login import names

FREE = 5
LONGEST = 60.0
FORGOTTEN_AFTER = 15 * 60.0
GUESSED_AT = 100
"""Wrong passwords for one name that count as an attack, from unknown places, each within
FORGOTTEN_AFTER of the last."""
_MOST = 20_000

COOKIE = "__Secure-infraforge_known"
KNOWN_FOR = 90 * 24 * 3600
_KNOWN = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


@dataclass
class _Count:
    wrong: int
    last: float


class Guesses:
    """Counts wrong passwords by name and place. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._places: OrderedDict[Hashable, _Count] = OrderedDict()
        self._names: OrderedDict[Hashable, _Count] = OrderedDict()

    def attempt(self, name: str, place: str, *, known: bool) -> float:
        """Seconds until this place may try a password for this name; 0 if it may try now.

        A try that is let through counts as wrong until `right` or `void` says otherwise. So
        concurrent tries get no further than consecutive ones.
        """
        with self._lock:
            now, name = self._clock(), names.same(name)
            count = self._find(self._places, (name, place), now)
            attacked = self._find(self._names, name, now).wrong >= GUESSED_AT
            free = 1 if attacked and not known else FREE
            left = count.last + _delay(count.wrong - free) - now
            if left > 0:
                return left
            count.wrong, count.last = count.wrong + 1, now
            if not known:
                everywhere = self._find(self._names, name, now)
                everywhere.wrong, everywhere.last = everywhere.wrong + 1, now
            return 0.0

    def right(self, name: str, place: str) -> None:
        """The password was right: give this place all its free tries again."""
        with self._lock:
            self._places.pop((names.same(name), place), None)

    def void(self, name: str, place: str) -> None:
        """The password could not be checked: do not count the try."""
        with self._lock:
            count = self._places.get((names.same(name), place))
            if count is not None:
                count.wrong = max(0, count.wrong - 1)

    def _find(self, table: OrderedDict[Hashable, _Count], key: Hashable, now: float) -> _Count:
        count = table.get(key)
        if count is None or now - count.last > FORGOTTEN_AFTER:
            count = table[key] = _Count(0, now)
        table.move_to_end(key)
        while len(table) > _MOST:
            table.popitem(last=False)
        return count


def _delay(beyond: int) -> float:
    return 0.0 if beyond < 0 else min(2.0 ** min(beyond, 30), LONGEST)


class Known:
    """The cookie of a known browser: the person of this name has signed in there before."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, name: str) -> str:
        nonce = secrets.token_urlsafe(32)
        return f"{nonce}.{self._mac(nonce, name)}"

    def place(self, cookie: str | None, name: str) -> str | None:
        """This browser's id, if its cookie is genuine and belongs to this name; else None."""
        parts = _KNOWN.fullmatch(cookie or "")
        if parts and hmac.compare_digest(parts[2], self._mac(parts[1], name)):
            return parts[1]
        return None

    def _mac(self, nonce: str, name: str) -> str:
        text = f"known\n{nonce}\n{names.same(name)}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
