"""The session store: a Redis that throws nothing away, for OAuth2 Proxy alone."""

from __future__ import annotations

from infraforge.components.redis import RedisComponent


class RedisSessions(RedisComponent):
    """No eviction, every write in an append-only file."""

    name = "redis-sessions"
    namespace = "infraforge-access"
    needs = ("namespaces",)
