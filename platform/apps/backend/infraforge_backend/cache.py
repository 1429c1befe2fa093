"""Cache-aside on Redis such that no read returns what an acknowledged write has replaced.

Keys: `project:ID` and `project:ID:files`; beside each, `KEY:lease`. A value is the epoch it was
stored under, a newline, and the JSON body; no body stands for "there is no such thing". The epoch
stands in the value and not in the key, so that a writer deletes what *every* process may serve,
whichever epoch that process knows.

Reader                                         Writer
1. epoch known and fresh? else bypass          1. in the transaction, before its change, fence:
2. value of that epoch there? hit                 delete value, end leases, add a mark of its own
3. else take the lease, if nobody holds it     2. change, commit
4. read PostgreSQL                             3. release: delete value, end leases, remove its mark
5. store only if the lease is still its own    4. acknowledge
   and there is no mark

One query for many misses: who finds the lease held by another reader looks again (1 to 3) until
that one has filled, or gave the lease back, or `WAIT_SECONDS` are over; then it reads PostgreSQL
for itself and stores nothing. Behind a writer's mark nobody waits: no fill can come. Absence is
filled like a body, so that readers of what is not there are one query, too, and do not pass the
lease from one to the next.

Why it is right, while Redis answers: a value read before the commit (4) was read under a lease
taken before the release (3), which ends the lease and deletes whatever was stored; so after the
acknowledgement the cache holds nothing that was read before the commit. A reader that waits
trusts nobody for it: each of its looks is that of a reader that begins then, under the epoch that
is usable then. The fence in front of the commit makes that true even when the writer dies between
commit and release: the value is gone, and nobody gets a lease until the mark expires; the mark is
younger than the transaction and lives twice as long as PostgreSQL lets a transaction last. Writers
that meet have a mark each, so the end of one does not end the fence of another.

When Redis does not answer the writer (stopped, cut off, slow), the fence or the release may
happen later or never. Then the epoch is raised, inside the transaction when the fence failed,
right after it when only the release failed. The writer acknowledges `lease` seconds later, and
only if the very session that raised the epoch still answers then (see epoch.py): whoever reads
after the acknowledgement knows the new epoch or leaves the cache alone. Commands that a stopped
Redis executes once it goes on are harmless: deletes only empty the cache, a late lease or mark
expires, a late store carries the old epoch.

While Redis answers, nobody who saw a change, acknowledged or not, reads what was before it: from
the fence on there is nothing older in the cache, and the change is seen in PostgreSQL only later.

A new project's keys are not fenced: its id is made at random in the request that creates it, so
nobody can have asked for it and found it absent.

Not covered: a Redis that comes back with an old memory (it must run without persistence, and a
replica may only be promoted together with a raised epoch); a Redis that loses a mark (it restarts,
or is so short of memory that it evicts it) whose writer then dies; a writer whose connection breaks
inside COMMIT gets no acknowledgement, and if that commit takes effect later than the mark's life
the old value may live up to the TTL; reads that overlap a write may see either value.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infraforge_backend import metrics, scripts
from infraforge_backend.config import Config
from infraforge_backend.epoch import EpochKnowledge

log = logging.getLogger(__name__)

FILL_LEASE_MS = 5_000
FENCE_MS = 20_000
SOCKET_SECONDS = 0.3
CONNECT_SECONDS = 0.5
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


def connect(config: Config, username: str, password: str) -> redis.Redis:
    """A client that gives up after 0.3 s and never tries twice: the database is there instead."""
    return redis.Redis(
        host=config.redis_host,
        port=config.redis_port,
        username=username,
        password=password,
        ssl=True,
        ssl_ca_certs=config.ca_file,
        ssl_check_hostname=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=32,
    )


@dataclass(frozen=True)
class Read:
    """A body (None: nothing is there) and the path that produced it: cache hit, cache miss, or
    bypass (the cache was left alone, or did not answer)."""

    body: bytes | None
    how: str


class Cache:
    """The cache of one process. Never raises for Redis' sake.

    pause: waits so many seconds before the next look at another's fill.
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
        self._client: redis.Redis | None = None
        self._open = False  # the circuit: closed again only by a probe that was answered
        self._lost: deque[tuple[Sequence[str], str, int]] = deque(maxlen=1000)

    def use(self, client: redis.Redis) -> None:
        """Talk to Redis through `client` from now on."""
        with self._lock:
            old, self._client = self._client, client
        if old is not None:
            old.close()

    def read(self, key: str, load: Callable[[], bytes | None]) -> Read:
        """What is under `key`, from the cache or else by `load`. None: nothing is there.

        That nothing is there is cached like a body is: whoever puts something there must fence
        the key, unless nobody can have asked for it before. No body is empty.
        """
        found = self._read(key, load)
        metrics.CACHE.labels(found.how).inc()
        return found

    def fence(self, keys: Sequence[str]) -> str | None:
        """Empty the keys and hold fills off; the mark, or None where Redis did not confirm."""
        mark = f"{scripts.MARK}{uuid.uuid4().hex}"
        if self._ask(scripts.FENCE, _pairs(keys), mark, FENCE_MS) == 1:
            return mark
        self._lost.append((keys, mark, _LOST_ROUNDS))
        return None

    def release(self, keys: Sequence[str], mark: str) -> bool:
        """Empty the keys again and let fills in; False where Redis did not confirm."""
        if self._ask(scripts.RELEASE, _pairs(keys), mark) == 1:
            return True
        self._lost.append((keys, mark, _LOST_ROUNDS))
        return False

    def probe(self) -> bool:
        """Ask Redis for a sign of life; closes or opens the circuit accordingly."""
        client = self._client
        try:
            alive = client is not None and bool(client.ping())
        except redis.RedisError as error:
            self._failed(error)
            return False
        if alive and self._open:
            log.info("cache answers again")
        self._open = not alive
        if alive:
            self._take_back_lost_marks()
        return alive

    def keep(self, key: str, value: bytes, seconds: float) -> None:
        """Lay `value` down for other processes, unfenced: only for what is allowed to be old."""
        self._ask(scripts.KEEP, [key], value, max(1, round(seconds * 1000)))

    def kept(self, key: str) -> bytes | None:
        """What was kept under `key`, if it is still there and Redis answers."""
        found = self._ask(scripts.KEPT, [key])
        return found if isinstance(found, bytes) else None

    def _take_back_lost_marks(self) -> None:
        """Release marks and leases that a stopped Redis may have set late: their owners are done.

        Only to have fills again before the marks expire. Twice, because what it had in its
        buffers may be executed after this.
        """
        for _ in range(len(self._lost)):
            try:
                keys, mark, rounds = self._lost.popleft()
            except IndexError:  # somebody else who probes took the last
                return
            if self._ask(scripts.RELEASE, _pairs(keys), mark) == 1:
                rounds -= 1
            if rounds:
                self._lost.append((keys, mark, rounds))

    def _read(self, key: str, load: Callable[[], bytes | None]) -> Read:
        token = uuid.uuid4().hex
        looked, prefix = self._look(key, token)
        if looked is None:
            return Read(load(), "bypass")
        if looked[0] == _HIT:
            return Read(looked[1] or None, "hit")
        if looked[0] != _TAKEN:
            return Read(load(), "miss")
        try:
            body = load()
        except BaseException:
            self._ask(scripts.GIVE_BACK, _pairs([key]), token)
            raise
        value = prefix.encode() + (body or _ABSENT)
        stored = self._ask(scripts.FILL, _pairs([key]), token, value, self._ttl_ms)
        metrics.FILLS.labels("stored" if stored == 1 else "refused").inc()
        return Read(body, "miss")

    def _look(self, key: str, token: str) -> tuple[list[Any] | None, str]:
        """What the last look found, after those spent on waiting for another's fill, and its epoch.

        None: the cache must be left alone, or did not answer.
        """
        end, pause = time.monotonic() + WAIT_SECONDS, _FIRST_PAUSE
        while True:
            epoch = self._knowledge.usable()  # before anything is looked up or loaded
            if epoch is None:
                return None, ""
            prefix, asked = f"{epoch}\n", not self._open
            found = self._ask(scripts.LOOKUP, _pairs([key]), prefix, token, FILL_LEASE_MS)
            if not isinstance(found, list):
                if asked:  # it may take the lease late, and others would wait for nobody
                    self._lost.append(([key], token, _LOST_ROUNDS))
                return None, ""
            if found[0] != _HELD or time.monotonic() >= end:
                return found, prefix
            self._pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask(self, script: str, keys: Sequence[str], *arguments: object) -> object:
        """What Redis answers; None where it does not, or the circuit is open."""
        client = self._client
        if client is None or self._open:
            return None
        try:
            return client.eval(script, len(keys), *keys, *arguments)  # type: ignore[arg-type]
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
