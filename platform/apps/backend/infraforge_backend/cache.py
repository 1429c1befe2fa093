"""Cache-aside on Redis such that no read returns what an acknowledged write has replaced.

Keys: `project:ID` and `project:ID:files`; beside each, `KEY:lease`. A value is the epoch it was
stored under, a newline, and the JSON body; no body means "there is no such thing". The epoch is
part of the value and not of the key, so that a writer deletes what *every* process may serve,
whichever epoch that process knows.

Reader                                         Writer
1. epoch known and fresh? else bypass          1. in the transaction, before its change, fence:
2. value of that epoch there? hit                 delete value, end leases, add a mark of its own
3. else take the lease, if nobody holds it     2. change, commit
4. read PostgreSQL                             3. release: delete value, end leases, remove its mark
5. store only if the lease is still its own    4. acknowledge
   and there is no mark

One query serves many misses: a reader that finds the lease held by another reader looks again
(1 to 3) until that one has filled, or gave the lease back, or `WAIT_SECONDS` have passed; then it
reads PostgreSQL itself and stores nothing. Nobody waits behind a writer's mark: no fill can come.
Absence is filled like a body, so that readers of what is not there share one query, too, and do
not pass the lease from one to the next.

Why it is right while Redis answers: a value read before the commit (4) was read under a lease
taken before the release (3), which ends the lease and deletes whatever was stored. So after the
acknowledgement the cache holds nothing that was read before the commit. A waiting reader relies on
nobody: each of its looks is that of a reader that begins then, under the epoch that is usable then.
The fence before the commit makes this true even if the writer dies between commit and release: the
value is gone, and nobody gets a lease until the mark expires. The mark is younger than the
transaction and lives twice as long as PostgreSQL lets a transaction last. Concurrent writers have
one mark each, so the end of one does not end the fence of another.

If Redis does not answer the writer (stopped, cut off, slow), the fence or the release may happen
later or never. Then the epoch is raised: inside the transaction if the fence failed, right after
it if only the release failed. The writer acknowledges `lease` seconds later, and only if the very
session that raised the epoch still answers then (see epoch.py): whoever reads after the
acknowledgement knows the new epoch or bypasses the cache. Commands that a stopped Redis executes
once it goes on are harmless: deletes only empty the cache, a late lease or mark expires, a late
store carries the old epoch.

One server holds the cache, and PostgreSQL names it by its run id (naming.py). Every step of readers
and writers goes to that server or counts as unanswered: a reader knows it together with the epoch,
a writer reads it in its transaction. So a server that restarted, a promoted replica and a former
master that still answers are bypassed, and a write that meets one raises the epoch.

While Redis answers, nobody who saw a change, acknowledged or not, reads what was before it: from
the fence on the cache holds nothing older, and the change becomes visible in PostgreSQL only later.

A new project's keys are not fenced: its id is made at random in the request that creates it, so
nobody can have asked for it and found it absent.

Not covered: a Redis so short of memory that it evicts the mark of a writer that then dies; a writer
whose connection breaks inside COMMIT gets no acknowledgement, and if that commit takes effect later
than the mark's life the old value may live up to the TTL; reads that overlap a write may see either
value. The copies of `keep` are not bound to a server: a promotion may lose the newest of them.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from infraforge_backend import metrics, scripts
from infraforge_backend.epoch import EpochKnowledge, Known
from infraforge_backend.servers import OtherServer

log = logging.getLogger(__name__)

FILL_LEASE_MS = 5_000
FENCE_MS = 20_000
WAIT_SECONDS = 2.0  # for another's fill: less than its lease, so that a dead one costs just this
_ABSENT = b""
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.05
_LOST_ROUNDS = 2

_HELD, _TAKEN, _HIT = 0, 1, 2  # or, by a writer's mark, held off: 3

# the key's own end follows its newest member: see scripts.py
assert FILL_LEASE_MS <= FENCE_MS


def project_key(project_id: uuid.UUID) -> str:
    return f"project:{project_id}"


def files_key(project_id: uuid.UUID) -> str:
    return f"project:{project_id}:files"


class Store(Protocol):
    """The Redis that holds the cache (servers.py). Raises redis.RedisError where it fails."""

    def meet(self, doubt: bool = False) -> str: ...
    def eval(
        self, server: str | None, script: str, keys: Sequence[str], *arguments: object
    ) -> object: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Read:
    """A body (None: nothing is there) and the path that produced it: cache hit, cache miss, or
    bypass (the cache was not used, or did not answer)."""

    body: bytes | None
    how: str


class Cache:
    """The cache of one process. No failure of Redis is ever raised from here.

    pause: waits that many seconds before the next look at another's fill.
    """

    def __init__(
        self,
        knowledge: EpochKnowledge,
        ttl_seconds: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._knowledge = knowledge
        self._pause = pause
        self._ttl_ms = max(1, round(ttl_seconds * 1000))
        self._lock = threading.Lock()
        self._client: Store | None = None
        self._met = ""
        self._open = False  # the circuit: closed again only by a probe that was answered
        self._lost: deque[tuple[Sequence[str], str, int]] = deque(maxlen=1000)

    @property
    def met(self) -> str:
        """The run id of the server, or master, that answered the last probe; "" if none did."""
        return self._met

    def use(self, client: Store) -> None:
        """Talk to Redis through `client` from now on."""
        with self._lock:
            old, self._client = self._client, client
        if old is not None:
            old.close()

    def read(self, key: str, load: Callable[[], bytes | None]) -> Read:
        """The value under `key`, from the cache or else from `load`. None: nothing is there.

        Absence is cached like a body: whoever puts something there must fence the key, unless
        nobody can have asked for it before. No body is empty.
        """
        found = self._read(key, load)
        metrics.CACHE.labels(found.how).inc()
        return found

    def fence(self, keys: Sequence[str], server: str) -> str | None:
        """Empty the keys and block fills; the mark, or None if the server did not confirm.

        server: the run id that PostgreSQL names, "" for none.
        """
        mark = f"{scripts.MARK}{uuid.uuid4().hex}"
        if not server:
            return None
        if self._ask(scripts.FENCE, _pairs(keys), mark, FENCE_MS, server=server) == 1:
            return mark
        self._lost.append((keys, mark, _LOST_ROUNDS))
        return None

    def release(self, keys: Sequence[str], mark: str, server: str) -> bool:
        """Empty the keys again and allow fills; False if the server did not confirm."""
        if self._ask(scripts.RELEASE, _pairs(keys), mark, server=server) == 1:
            return True
        self._lost.append((keys, mark, _LOST_ROUNDS))
        return False

    def probe(self) -> bool:
        """Look for the server and ask for a sign of life; closes or opens the circuit accordingly.

        If it was another one than PostgreSQL names, all sentinels are asked, not only the first.
        """
        client, known = self._client, self._knowledge.known()
        if client is None:
            return False
        try:
            doubt = known is not None and self._met not in ("", known.server)
            self._met = client.meet(doubt)
        except redis.RedisError as error:
            self._met = ""
            self._failed(error)
            return False
        if self._open:
            log.info("cache answers again")
        self._open = False
        self._take_back_lost_marks()
        return True

    def keep(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value` for other processes, unfenced: only for values that may be old."""
        self._ask(scripts.KEEP, [key], value, max(1, round(seconds * 1000)))

    def kept(self, key: str) -> bytes | None:
        """The value kept under `key`, if it is still there and Redis answers."""
        found = self._ask(scripts.KEPT, [key])
        return found if isinstance(found, bytes) else None

    def _take_back_lost_marks(self) -> None:
        """Release marks and leases that a stopped Redis may have set late: their owners are done.

        This only allows fills again before the marks expire. It is done twice, because a resumed
        Redis may execute what it had in its buffers after this.
        """
        for _ in range(len(self._lost)):
            try:
                keys, mark, rounds = self._lost.popleft()
            except IndexError:  # another probe took the last
                return
            if self._ask(scripts.RELEASE, _pairs(keys), mark) == 1:
                rounds -= 1
            if rounds:
                self._lost.append((keys, mark, rounds))

    def _read(self, key: str, load: Callable[[], bytes | None]) -> Read:
        token = uuid.uuid4().hex
        looked, known = self._look(key, token)
        if looked is None or known is None:
            return Read(load(), "bypass")
        if looked[0] == _HIT:
            return Read(looked[1] or None, "hit")
        if looked[0] != _TAKEN:
            return Read(load(), "miss")
        try:
            body = load()
        except BaseException:
            self._ask(scripts.GIVE_BACK, _pairs([key]), token, server=known.server)
            raise
        value = _prefix(known) + (body or _ABSENT)
        filled = (token, value, self._ttl_ms)
        stored = self._ask(scripts.FILL, _pairs([key]), *filled, server=known.server)
        metrics.FILLS.labels("stored" if stored == 1 else "refused").inc()
        return Read(body, "miss")

    def _look(self, key: str, token: str) -> tuple[list[Any] | None, Known | None]:
        """The last look's answer, after waiting for another's fill, and the knowledge it rests on.

        None: bypass the cache, or it did not answer.
        """
        end, pause = time.monotonic() + WAIT_SECONDS, _FIRST_PAUSE
        while True:
            known = self._knowledge.known()  # before anything is looked up or loaded
            if known is None or not known.server:
                return None, None
            asked = not self._open
            arguments = (_prefix(known), token, FILL_LEASE_MS)
            found = self._ask(scripts.LOOKUP, _pairs([key]), *arguments, server=known.server)
            if not isinstance(found, list):
                if asked:  # it may take the lease late, and others would wait for nobody
                    self._lost.append(([key], token, _LOST_ROUNDS))
                return None, None
            if found[0] != _HELD or time.monotonic() >= end:
                return found, known
            self._pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask(
        self, script: str, keys: Sequence[str], *arguments: object, server: str | None = None
    ) -> object:
        """Redis' answer; None if there is none, or the circuit is open, or it is another server.

        server: the only one that may be asked; None: whichever is master.
        """
        client = self._client
        if client is None or self._open:
            return None
        try:
            return client.eval(server, script, keys, *arguments)
        except OtherServer:
            return None
        except redis.RedisError as error:
            self._failed(error)
            return None

    def _failed(self, error: redis.RedisError) -> None:
        self._knowledge.cache_failed()
        if not self._open:
            log.warning("cache does not answer", extra={"error": type(error).__name__})
        self._open = True


def _pairs(keys: Sequence[str]) -> list[str]:
    return [name for key in keys for name in (key, f"{key}:lease")]


def _prefix(known: Known) -> bytes:
    return f"{known.epoch}\n".encode()
