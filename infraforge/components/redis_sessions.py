"""The session store: a Redis that throws nothing away, for OAuth2 Proxy alone."""

from __future__ import annotations

from infraforge.components.redis import RedisComponent
from infraforge.components.site import Site


class RedisSessions(RedisComponent):
    """No eviction, every write in an append-only file; sessions that nobody uses are ended."""

    name = "redis-sessions"
    namespace = "infraforge-access"
    needs = ("namespaces",)

    # what suites and probes use

    def end_idle(self, site: Site, pattern: str, limit: int) -> int:
        """Do once what the store's own sweeper does, as that user; how many sessions it ended.

        pattern: of the keys; limit: seconds without use.
        """
        script = (site.tree / "components" / self.name / "idle.lua").read_text()
        with self.connect(site, "sweeper") as client:
            return int(client.eval(script, 0, pattern, str(limit)))
