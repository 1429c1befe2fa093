"""What the cache holds of a project, seen in Redis itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from infraforge.errors import ClusterError


@dataclass(frozen=True)
class Cached:
    """A value in the cache. epoch: it was stored under; ttl: seconds it has left to live."""

    epoch: int
    body: Mapping[str, Any]
    ttl: float

    @property
    def version(self) -> int:
        return int(self.body["version"])


def project(cache: redis.Redis, project_id: str) -> Cached | None:
    """The project's value; None where there is none, or the word that there is no such project.

    Raises ClusterError when Redis is silent.
    """
    key = f"project:{project_id}"
    try:
        left = cache.pttl(key)  # first: a value without an end would be -1, never -2
        raw = cast("bytes | None", cache.get(key))
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    if raw is None:
        return None
    epoch, _, body = raw.partition(b"\n")
    if not body:
        return None
    return Cached(int(epoch), json.loads(body), left / 1000 if left >= 0 else float("inf"))


def holders(cache: redis.Redis, project_id: str, of: str = "") -> list[str]:
    """Who may fill the project's value, or holds fills off (`w:…`), as of now.

    of: what comes after the project's key, e.g. `:files`. Raises ClusterError when Redis is silent.
    """
    try:
        seconds, microseconds = cache.time()
        now = seconds * 1000 + microseconds // 1000
        found = cast(
            "list[tuple[bytes, float]]",
            cache.zrange(f"project:{project_id}{of}:lease", 0, -1, withscores=True),
        )
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    return [holder.decode() for holder, end in found if end > now]


def memory(cache: redis.Redis) -> str:
    """Names this Redis' memory: another name, and what it held is lost."""
    try:
        found = cache.info("server")
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    return str(found["run_id"])
