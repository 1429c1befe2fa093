"""The cache: a Redis without persistence, for the backend alone."""

from __future__ import annotations

from infraforge.components.redis import RedisComponent
from infraforge.components.site import Site


class RedisCache(RedisComponent):
    """Evicts the least recently used keys."""

    name = "redis-cache"
    namespace = "infraforge-data"
    needs = ("namespaces",)

    def backend_keys(self, site: Site) -> tuple[str, str]:
        """The backend's user and password, which it gets through Vault."""
        return self.credentials(site, "backend")
