"""What both Redis have in common: users with hashed passwords in an ACL file, TLS, an observer."""

from __future__ import annotations

import contextlib
import hashlib
import tomllib
from collections.abc import Iterator, Mapping

import redis

from infraforge.components import containers
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.passwords import passwords_of
from infraforge.components.site import Site
from infraforge.errors import ClusterError

# Off, and without a password: nobody can be this user. Redis itself is, as it loads its log of
# changes (8.0.2), and leaves out each transaction that the user may not do: what a script had
# removed, for instance, would be back after a restart.
_NOBODY = "user default reset ~* &* +@all"
_OBSERVER = "observer"
_RENEWER = "renewer"
_FILES = (
    *("tls-cert-file", "/etc/tls/tls.crt"),
    *("tls-key-file", "/etc/tls/tls.key"),
    *("tls-ca-cert-file", "/etc/platform-ca/ca.crt"),
)


class RedisComponent(Component):
    """A Redis; `platform/components/NAME/users.toml` says who may do what in it.

    Secret NAME: each user's password. Secret NAME-acl: the file Redis reads, with hashes only.
    """

    listens = (Listener(6379),)
    reloads = True
    trust = Trust.RUNNING

    def given(self, site: Site) -> str:
        """What nobody may be is written here, not in its folder."""
        return _NOBODY

    def certify(self, site: Site) -> None:
        """Also for the members' own names."""
        site.certificate(
            self.name,
            self.namespace,
            [self.name],
            extra_names=[f"*.{self.name}-internal.{self.namespace}.svc"],
        )

    def prepare(self, site: Site) -> None:
        """Passwords and the ACL file."""
        wanted = {"users.acl": acl(self._rules(site), self._passwords(site))}
        if site.read_secret(f"{self.name}-acl", self.namespace) != wanted:
            site.write_secret(f"{self.name}-acl", self.namespace, wanted)

    def reload(self, site: Site) -> None:
        """By setting the files' names to what they are; connections stay."""
        for pod in containers.pods(site, self.name):
            try:
                with self.connect(site, _RENEWER, f"pod/{pod.metadata.name}") as client:
                    client.config_set(*_FILES)
            except redis.RedisError as error:
                raise ClusterError(f"{self.name} does not read its certificate: {error}") from error

    def credentials(self, site: Site, user: str) -> tuple[str, str]:
        """Name and password of one of its users. Raises ClusterError where it has no such user."""
        passwords = self._passwords(site)
        if user not in passwords:
            raise ClusterError(f"{self.name} knows no user {user!r}")
        return user, passwords[user]

    # what suites and probes use

    @contextlib.contextmanager
    def connect(self, site: Site, user: str = _OBSERVER, target: str = "") -> Iterator[redis.Redis]:
        """A client that may look at everything and change nothing, or that `user` is.

        target: one pod (`pod/NAME`) instead of the Service.
        """
        user, password = self.credentials(site, user)
        with site.forward(self.namespace, target or f"svc/{self.name}", 6379) as port:
            client = redis.Redis(
                host="localhost",  # the name in its certificate
                port=port,
                username=user,
                password=password,
                ssl=True,
                ssl_ca_certs=str(site.ca_file),
                ssl_check_hostname=True,
                socket_timeout=10,
                socket_connect_timeout=10,
            )
            with contextlib.closing(client):
                yield client

    def _rules(self, site: Site) -> Mapping[str, str]:
        path = site.tree / "components" / self.name / "users.toml"
        return tomllib.loads(path.read_text())

    def _passwords(self, site: Site) -> Mapping[str, str]:
        return passwords_of(site, self.name, self.namespace, self._rules(site))


def acl(rules: Mapping[str, str], passwords: Mapping[str, str]) -> str:
    """Redis' ACL file: every user from nothing, with the hash of its password; nobody else."""
    lines = [_NOBODY]
    for user, rule in sorted(rules.items()):
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        lines.append(f"user {user} reset on #{digest} {rule}")
    return "".join(f"{line}\n" for line in lines)
