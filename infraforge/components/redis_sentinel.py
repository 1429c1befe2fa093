"""The sentinels: three processes that watch the masters of both groups, and promote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis

from infraforge.components import containers, redis_members
from infraforge.components.base import Listener, Trust
from infraforge.components.passwords import passwords_of
from infraforge.components.redis_members import GROUPS, View
from infraforge.components.redis_users import OBSERVER, RedisUsers, rules_of
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import wait_until

_SECONDS = 3.0
_FAILURES = (ClusterError, redis.RedisError, OSError)


class RedisSentinel(RedisUsers):
    """One trio for both groups.

    Secret `redis-sentinel-groups`: its password at each group. It reads its certificate and the
    trusted CAs at its start only, so its pods are replaced, one at a time: two are a majority.
    """

    name = redis_members.SENTINEL
    namespace = redis_members.SENTINEL_NAMESPACE
    needs = ("namespaces",)
    port = redis_members.SENTINEL_PORT
    listens = (Listener(redis_members.SENTINEL_PORT),)
    trust = Trust.AT_START

    def certify(self, site: Site) -> None:
        """Issue its certificate, which names each sentinel by its full name."""
        domain = redis_members.domain(self.name, self.namespace)
        site.certificate(self.name, self.namespace, [self.name], extra_names=[f"*.{domain}"])

    def prepare(self, site: Site) -> None:
        """Create its own users, and hand it its password at each group."""
        super().prepare(site)
        wanted = {
            group: passwords_of(site, component, namespace, rules_of(site, component))["sentinel"]
            for group, (component, namespace) in GROUPS.items()
        }
        name = f"{self.name}-groups"
        if site.read_secret(name, self.namespace) != wanted:
            site.write_secret(name, self.namespace, wanted)

    def configure(self, site: Site) -> None:
        """Wait until all sentinels agree on both groups, and know all members and each other."""
        count = len(redis_members.sentinels(site.profile))

        def agree() -> bool:
            for group, (component, _) in GROUPS.items():
                views = self.views(site, group)
                members = len(redis_members.of(site.profile, component))
                if not views or not redis_members.agreed(views, views[0].master, members, count):
                    raise ClusterError(f"{group}: {told(views)}")
            return True

        wait_until(
            agree,
            site.profile.budgets.component,
            ignoring=(ClusterError,),
            what="the sentinels agree on both groups, and know each other",
            every=1.0,
        )

    # for suites, probes and the groups

    def views(self, site: Site, group: str) -> tuple[View, ...]:
        """What each sentinel that answers says of a group, by the sentinels' names."""
        found = []
        for pod in containers.pods(site, self.name):
            name = str(pod.metadata.name)
            try:
                with self.connected(site, f"pod/{name}", OBSERVER, _SECONDS) as client:
                    answer = _asked(client, "MASTER", group)
            except _FAILURES:
                continue
            found.append(View.told(name, answer))
        return tuple(found)

    def promote_another(self, site: Site, group: str) -> None:
        """Have a replica promoted now, with its master's consent. Raises ClusterError."""
        refused = []
        for name in redis_members.sentinels(site.profile):
            try:
                with self.connected(site, f"pod/{name}", "operator", _SECONDS) as client:
                    _asked(client, "FAILOVER", group)
            except _FAILURES as error:
                refused.append(f"{name}: {error}")
                continue
            return
        raise ClusterError(f"no sentinel promotes another {group}: {'; '.join(refused)}")


def told(views: Iterable[View]) -> str:
    """What sentinels said, in a line; what fewer of them say comes first."""
    claims: dict[str, list[str]] = {}
    for one in views:
        claim = (
            f"{one.master} ({', '.join(sorted(one.flags))}; epoch {one.epoch}; "
            f"{one.replicas} replicas, {one.sentinels} sentinels)"
        )
        claims.setdefault(claim, []).append(one.sentinel)
    ordered = sorted(claims.items(), key=lambda item: len(item[1]))
    words = [f"{', '.join(who)}: {claim}" for claim, who in ordered]
    return "; ".join(words) or "no sentinel answers"


def _asked(client: redis.Redis, *words: str) -> Any:
    """The answer as it came: redis-py would make a mapping of its own of some."""
    return client.execute_command("SENTINEL", *words)  # type: ignore[no-untyped-call]
