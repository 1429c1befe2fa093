"""Wrong passwords slow down whoever gives them, and lock nobody out.

A lock would be anybody's weapon: a stranger's ten wrong passwords would keep the owner of the name
out. So what is counted is not the name but the name as tried from one place: an address, or a
browser in which this person signed in before (a *known* browser, see `Known`; the idea is OWASP's
"device cookie"). After `FREE` wrong passwords from a place, the next is looked at only after a
delay, which doubles up to `LONGEST`. While a name is guessed at from many places, each unknown one
has a single free try. A known browser is never held up by what others do.

Counts are this process' own: each replica grants as many again, and a restart forgets them.
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
"""Wrong passwords for one name, from anywhere within FORGOTTEN_AFTER, that make it an attack."""
_MOST = 20_000

COOKIE = "__Secure-infraforge_known"
KNOWN_FOR = 90 * 24 * 3600
_KNOWN = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


@dataclass
class _Count:
    wrong: int
    last: float


class Guesses:
    """How many wrong passwords came from where. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._places: OrderedDict[Hashable, _Count] = OrderedDict()
        self._names: OrderedDict[Hashable, _Count] = OrderedDict()

    def attempt(self, name: str, place: str, *, known: bool) -> float:
        """Seconds to wait before a password for this name is looked at from this place; 0 for now.

        A try that may go on counts as wrong from now on, until `right` or `void` says otherwise: of
        many tries at one moment no more get through than one after the other.
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
        """The password was right: this place has all its free tries again."""
        with self._lock:
            self._places.pop((names.same(name), place), None)

    def void(self, name: str, place: str) -> None:
        """Nobody could say whether it was right: the try does not count."""
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
    """The cookie that says: in this browser, the person of this name has signed in before."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, name: str) -> str:
        nonce = secrets.token_urlsafe(32)
        return f"{nonce}.{self._mac(nonce, name)}"

    def place(self, cookie: str | None, name: str) -> str | None:
        """What to call this browser, if its cookie is genuine and of this name; else None."""
        parts = _KNOWN.fullmatch(cookie or "")
        if parts and hmac.compare_digest(parts[2], self._mac(parts[1], name)):
            return parts[1]
        return None

    def _mac(self, nonce: str, name: str) -> str:
        text = f"known\n{nonce}\n{names.same(name)}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
