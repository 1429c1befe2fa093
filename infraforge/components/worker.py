"""The worker: takes jobs from the queue, with fewer rights than the backend."""

from __future__ import annotations

import json
import secrets

import hvac

from infraforge.components import backend
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.minio import Minio
from infraforge.components.nats import Nats
from infraforge.components.site import Site
from infraforge.errors import ClusterError

NAMESPACE = backend.NAMESPACE
_SECRET = "minio-worker"  # noqa: S105  a Secret's name


class Worker(Component):
    """Runs another program of the backend's image."""

    name = "worker"
    namespace = NAMESPACE
    # the backend creates the tables, and its set-up creates Vault's own login to PostgreSQL
    needs = ("backend", "nats")
    listens = (Listener(8443),)
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """Create its user at MinIO, and its role and keys at Vault."""
        stored = site.secret(
            _SECRET,
            "infraforge-data",
            lambda: {"user": self.name, "secret": secrets.token_urlsafe(30)},
        )
        keys = (stored["user"], stored["secret"])
        path = site.tree / "components" / self.name / "minio-policy.json"
        Minio().let_in(site, self.name, keys, json.loads(path.read_text()))
        vault = site.vault()
        try:
            backend.create_login_role(site, vault, self.name)
            wanted = {"minio": keys, "nats": Nats().credentials(site, self.name)}
            backend.hand_over_keys(vault, self.name, wanted)
        except hvac.exceptions.VaultError as error:
            raise ClusterError(f"Vault refused the worker's set-up: {error}") from error
