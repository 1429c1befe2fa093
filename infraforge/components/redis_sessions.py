"""The session store: a Redis that evicts nothing, for OAuth2 Proxy alone."""

from __future__ import annotations

from infraforge.components.redis import RedisComponent
from infraforge.components.site import Site


class RedisSessions(RedisComponent):
    """No eviction, every write in an append-only file; a sweeper ends idle sessions."""

    name = "redis-sessions"
    namespace = "infraforge-access"
    needs = ("namespaces",)

    # for suites and probes

    def end_idle(self, site: Site, pattern: str, limit: int) -> int:
        """Run the store's own sweep once, as the sweeper's user; the number of sessions it ended.

        pattern: of the sessions' keys; limit: seconds without use.
        """
        script = (site.tree / "components" / self.name / "idle.lua").read_text()
        with self.connect(site, "sweeper") as client:
            return int(client.eval(script, 0, pattern, str(limit)))
