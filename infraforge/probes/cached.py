"""What the cache holds for a project, read from Redis itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from infraforge.errors import ClusterError


@dataclass(frozen=True)
class Cached:
    """A value in the cache. epoch: the one it was stored under; ttl: remaining seconds."""

    epoch: int
    body: Mapping[str, Any]
    ttl: float

    @property
    def version(self) -> int:
        return int(self.body["version"])


def project(cache: redis.Redis, project_id: str) -> Cached | None:
    """The project's cached value; None where there is none, or only the note of its absence.

    Raises ClusterError when Redis does not answer.
    """
    key = f"project:{project_id}"
    try:
        left = cache.pttl(key)  # first: read after the value, -2 would be possible
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
    """Holders of the project's fill lease, and writers that hold fills off (`w:…`), as of now.

    of: suffix of the project's key, e.g. `:files`. Raises ClusterError when Redis does not answer.
    """
    try:
        seconds, microseconds = cache.time()
        now = seconds * 1000 + microseconds // 1000
        entries = cast(
            "list[tuple[bytes, float]]",
            cache.zrange(f"project:{project_id}{of}:lease", 0, -1, withscores=True),
        )
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    return [holder.decode() for holder, end in entries if end > now]


def memory(cache: redis.Redis) -> str:
    """Identifies this Redis process: a new id means that the former memory is lost."""
    try:
        info = cache.info("server")
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    return str(info["run_id"])
