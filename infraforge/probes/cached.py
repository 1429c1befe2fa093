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
    """The project's value; None where there is none. Raises ClusterError when Redis is silent."""
    key = f"project:{project_id}"
    try:
        left = cache.pttl(key)  # first: a value without an end would be -1, never -2
        raw = cast("bytes | None", cache.get(key))
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    if raw is None:
        return None
    epoch, _, body = raw.partition(b"\n")
    return Cached(int(epoch), json.loads(body), left / 1000 if left >= 0 else float("inf"))


def lease(cache: redis.Redis, project_id: str) -> str | None:
    """Who may fill the project's value, or holds fills off (`w:…`); None where nobody does."""
    try:
        held = cast("bytes | None", cache.get(f"project:{project_id}:lease"))
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    return None if held is None else held.decode()


def memory(cache: redis.Redis) -> str:
    """Names this Redis' memory: another name, and what it held is lost."""
    try:
        found = cache.info("server")
    except redis.RedisError as error:
        raise ClusterError(f"the cache does not answer: {error}") from error
    return str(found["run_id"])
