"""What both groups of Redis share: their users, TLS, and the harness' way to the master.

With several members the way in is the one that takes writes; the Service leads to any of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis

from infraforge.components import containers, redis_members, redis_sentinel
from infraforge.components.base import Listener, Trust
from infraforge.components.passwords import passwords_of
from infraforge.components.redis_members import GROUPS, Members
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.components.redis_users import OBSERVER, RedisUsers, acl, rules_of
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import wait_until

__all__ = ["RedisComponent", "acl"]
_RENEWER = "renewer"
_FILES = (
    *("tls-cert-file", "/etc/tls/tls.crt"),
    *("tls-key-file", "/etc/tls/tls.key"),
    *("tls-ca-cert-file", "/etc/platform-ca/ca.crt"),
)
_SECONDS = 3.0
"""For one of several members: one that is frozen must not hold up the look at the others."""
_FAILURES = (ClusterError, redis.RedisError, OSError)


class RedisComponent(RedisUsers):
    """A group of Redis servers: one, or a master and replicas that sentinels watch."""

    port = 6379
    listens = (Listener(port),)
    reloads = True
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        extra = [f"*.{self.name}-internal.{self.namespace}.svc"]
        if self._several(site):
            extra.append(f"*.{redis_members.domain(self.name, self.namespace)}")
        site.certificate(self.name, self.namespace, [self.name], extra_names=extra)

    def prepare(self, site: Site) -> None:
        """Create the passwords, the ACL file, and what its members say to the sentinels."""
        super().prepare(site)
        if not self._several(site):
            return
        sentinel, namespace = redis_members.SENTINEL, redis_members.SENTINEL_NAMESPACE
        passwords = passwords_of(site, sentinel, namespace, rules_of(site, sentinel))
        wanted = {"member": passwords["member"]}
        name = f"{self.name}-sentinel"
        if site.read_secret(name, self.namespace) != wanted:
            site.write_secret(name, self.namespace, wanted)

    def configure(self, site: Site) -> None:
        """With several members: wait until all the others follow the master."""
        count = len(self._members(site))
        if count == 1:
            return

        def all_follow() -> bool:
            now = self._seen(site)
            if 1 + len(now.linked) != count:
                raise ClusterError(
                    f"{now.master} is master, and of its replicas {now.linked} follow"
                )
            return True

        wait_until(
            all_follow,
            site.profile.budgets.component,
            ignoring=_FAILURES,
            what=f"all replicas of {self.name} follow its master",
            every=0.5,
        )

    def reload(self, site: Site) -> None:
        """Set the certificate's paths to their present values again; connections stay open."""
        for pod in containers.pods(site, self.name):
            try:
                with self.connect(site, _RENEWER, f"pod/{pod.metadata.name}") as client:
                    client.config_set(*_FILES)
            except redis.RedisError as error:
                raise ClusterError(f"{self.name} did not load its certificate: {error}") from error

    def leading_pod(self, site: Site) -> str:
        """The master's, where there are several members."""
        return self.master(site) if self._several(site) else ""

    # for suites and probes

    @contextlib.contextmanager
    def connect(self, site: Site, user: str = OBSERVER, target: str = "") -> Iterator[redis.Redis]:
        """A client as `user` of the master; by default the observer, who reads and changes nothing.

        target: one pod (`pod/NAME`) instead. Raises ClusterError where no member is master.
        """
        if not target:
            target = f"pod/{self.master(site)}" if self._several(site) else f"svc/{self.name}"
        with self.connected(site, target, user) as client:
            yield client

    @contextlib.contextmanager
    def connect_member(self, site: Site, pod: str, user: str = OBSERVER) -> Iterator[redis.Redis]:
        """A client of this member, master or replica."""
        with self.connected(site, f"pod/{pod}", user, _SECONDS) as client:
            yield client

    def master(self, site: Site) -> str:
        """The pod of the member that is master, as it says itself. Raises ClusterError.

        A master that was cut off goes on calling itself that. Where two do, it is the one that
        the sentinels name.
        """
        found, said = [], []
        for pod in self._running(site):
            try:
                role = str(self._info(site, pod)["role"])
            except _FAILURES as error:
                said.append(f"{pod}: {str(error).splitlines()[0]}")
                continue
            said.append(f"{pod} is a {role}")
            if role == "master":
                found.append(pod)
        if len(found) == 1:
            return found[0]
        if found:
            views = RedisSentinel().views(site, self._group)
            named = redis_members.latest(views)
            if named is not None and named.master in found:
                return named.master
            said.append(redis_sentinel.told(views))
        raise ClusterError(f"no member of {self.name} is master alone: {'; '.join(said)}")

    def look(self, site: Site) -> Members:
        """Who is master, who follows it, and what each sentinel says. Raises ClusterError."""
        seen = self._seen(site)
        return Members(seen.master, seen.replicas, RedisSentinel().views(site, self._group))

    def _seen(self, site: Site) -> Members:
        """The members as they say themselves; those that do not answer are left out."""
        master = self.master(site)
        said: dict[str, Any] = {}
        for pod in self._running(site):
            with contextlib.suppress(*_FAILURES):
                said[pod] = self._info(site, pod)
        if master not in said:
            raise ClusterError(f"{master}, the master of {self.name}, does not answer any more")
        replicas = [
            redis_members.replica(pod, own, said[master])
            for pod, own in said.items()
            if own["role"] == "slave"
        ]
        return Members(master, tuple(replicas), ())

    def _info(self, site: Site, pod: str) -> Any:
        with self.connect_member(site, pod) as client:
            return client.info("replication")

    def _running(self, site: Site) -> list[str]:
        pods = containers.pods(site, self.name)
        return [str(pod.metadata.name) for pod in pods if pod.status.phase == "Running"]

    def _members(self, site: Site) -> list[str]:
        return redis_members.of(site.profile, self.name)

    def _several(self, site: Site) -> bool:
        return len(self._members(site)) > 1

    @property
    def _group(self) -> str:
        """What the sentinels call it."""
        return next(group for group, (name, _) in GROUPS.items() if name == self.name)
