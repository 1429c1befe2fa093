"""What every Redis has, a server or a sentinel: users with hashed passwords in an ACL file, TLS."""

from __future__ import annotations

import contextlib
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infraforge.cluster import overlays
from infraforge.components.base import Component
from infraforge.components.passwords import passwords_of
from infraforge.components.site import Site
from infraforge.errors import ClusterError

# This user is off and has no password, so nobody can sign in as it. Redis itself acts as it while
# it loads its append-only file (8.0.2), and skips each transaction that the user may not run: for
# instance, keys that a script had removed would be back after a restart.
NOBODY = "user default reset ~* &* +@all"
OBSERVER = "observer"
_FILE = "users.toml"


class RedisUsers(Component):
    """A process whose users and rights are in `users.toml` of its folder and of its overlays.

    Secret NAME: each user's password. Secret NAME-acl: the file it reads, with hashes only.
    port: where it answers.
    """

    port: ClassVar[int]

    def given(self, site: Site) -> str:
        """The rule of the default user, which is written here and not in its folder."""
        return NOBODY

    def prepare(self, site: Site) -> None:
        """Create the passwords and the ACL file."""
        rules = rules_of(site, self.name)
        wanted = {"users.acl": acl(rules, passwords_of(site, self.name, self.namespace, rules))}
        if site.read_secret(f"{self.name}-acl", self.namespace) != wanted:
            site.write_secret(f"{self.name}-acl", self.namespace, wanted)

    def credentials(self, site: Site, user: str) -> tuple[str, str]:
        """Name and password of one of its users. Raises ClusterError for an unknown user."""
        passwords = passwords_of(site, self.name, self.namespace, rules_of(site, self.name))
        if user not in passwords:
            raise ClusterError(f"{self.name} has no user {user!r}; see its {_FILE}")
        return user, passwords[user]

    @contextlib.contextmanager
    def connected(
        self, site: Site, target: str, user: str, within: float = 10
    ) -> Iterator[redis.Redis]:
        """A client as `user` of `svc/NAME` or `pod/NAME`. within: seconds for each answer."""
        user, password = self.credentials(site, user)
        with site.forward(self.namespace, target, self.port) as port:
            client = redis.Redis(
                host="localhost",  # the name in the server's certificate
                port=port,
                username=user,
                password=password,
                ssl=True,
                ssl_ca_certs=str(site.ca_file),
                ssl_check_hostname=True,
                socket_timeout=within,
                socket_connect_timeout=within,
                retry=Retry(NoBackoff(), 0),  # else one that is silent is asked four times
            )
            with contextlib.closing(client):
                yield client


def rules_of(site: Site, component: str) -> Mapping[str, str]:
    """User → what it may do: its rule in the folder, with those of the chosen overlays after it."""
    folder = site.tree / "components" / component
    over = site.profile.components.get(component, {}).get("overlays", ())
    rules: dict[str, str] = {}
    for place in (folder, *overlays.chosen(folder, over)):
        if (place / _FILE).exists():
            for user, rule in tomllib.loads((place / _FILE).read_text()).items():
                rules[user] = f"{rules[user]} {rule}" if user in rules else rule
    return rules


def acl(rules: Mapping[str, str], passwords: Mapping[str, str]) -> str:
    """Redis' ACL file: each user starts without rights and has a hashed password; no others."""
    lines = [NOBODY]
    for user, rule in sorted(rules.items()):
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        lines.append(f"user {user} reset on #{digest} {rule}")
    return "".join(f"{line}\n" for line in lines)
