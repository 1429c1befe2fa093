"""What both Redis share: users with hashed passwords in an ACL file, TLS, an observer."""

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

# This user is off and has no password, so nobody can sign in as it. Redis itself acts as it while
# it loads its append-only file (8.0.2), and skips each transaction that the user may not run: for
# instance, keys that a script had removed would be back after a restart.
_NOBODY = "user default reset ~* &* +@all"
_OBSERVER = "observer"
_RENEWER = "renewer"
_FILES = (
    *("tls-cert-file", "/etc/tls/tls.crt"),
    *("tls-key-file", "/etc/tls/tls.key"),
    *("tls-ca-cert-file", "/etc/platform-ca/ca.crt"),
)


class RedisComponent(Component):
    """A Redis whose users and rights are in `platform/components/NAME/users.toml`.

    Secret NAME: each user's password. Secret NAME-acl: the file Redis reads, with hashes only.
    """

    listens = (Listener(6379),)
    reloads = True
    trust = Trust.RUNNING

    def given(self, site: Site) -> str:
        """The rule of the default user, which is written here and not in its folder."""
        return _NOBODY

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        site.certificate(
            self.name,
            self.namespace,
            [self.name],
            extra_names=[f"*.{self.name}-internal.{self.namespace}.svc"],
        )

    def prepare(self, site: Site) -> None:
        """Create the passwords and the ACL file."""
        wanted = {"users.acl": acl(self._rules(site), self._passwords(site))}
        if site.read_secret(f"{self.name}-acl", self.namespace) != wanted:
            site.write_secret(f"{self.name}-acl", self.namespace, wanted)

    def reload(self, site: Site) -> None:
        """Set the certificate's paths to their present values again; connections stay open."""
        for pod in containers.pods(site, self.name):
            try:
                with self.connect(site, _RENEWER, f"pod/{pod.metadata.name}") as client:
                    client.config_set(*_FILES)
            except redis.RedisError as error:
                raise ClusterError(f"{self.name} did not load its certificate: {error}") from error

    def credentials(self, site: Site, user: str) -> tuple[str, str]:
        """Name and password of one of its users. Raises ClusterError for an unknown user."""
        passwords = self._passwords(site)
        if user not in passwords:
            raise ClusterError(f"{self.name} has no user {user!r}; see its users.toml")
        return user, passwords[user]

    # for suites and probes

    @contextlib.contextmanager
    def connect(self, site: Site, user: str = _OBSERVER, target: str = "") -> Iterator[redis.Redis]:
        """A client as `user`; by default the observer, who may read everything and change nothing.

        target: one pod (`pod/NAME`) instead of the Service.
        """
        user, password = self.credentials(site, user)
        with site.forward(self.namespace, target or f"svc/{self.name}", 6379) as port:
            client = redis.Redis(
                host="localhost",  # the name in the server's certificate
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
    """Redis' ACL file: each user starts without rights and has a hashed password; no others."""
    lines = [_NOBODY]
    for user, rule in sorted(rules.items()):
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        lines.append(f"user {user} reset on #{digest} {rule}")
    return "".join(f"{line}\n" for line in lines)
