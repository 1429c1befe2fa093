"""The worker: takes jobs from the queue; its credentials may less than the backend's."""

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
    """The backend's image with another program."""

    name = "worker"
    namespace = NAMESPACE
    # the backend makes the tables, and its set-up Vault's own login to PostgreSQL
    needs = ("backend", "nats")
    listens = (Listener(8443),)
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """Its user at MinIO, and its place at Vault."""
        found = site.secret(
            _SECRET,
            "infraforge-data",
            lambda: {"user": self.name, "secret": secrets.token_urlsafe(30)},
        )
        keys = (found["user"], found["secret"])
        path = site.tree / "components" / self.name / "minio-policy.json"
        Minio().let_in(site, self.name, keys, json.loads(path.read_text()))
        vault = site.vault()
        try:
            backend.create_login_role(site, vault, self.name)
            wanted = {"minio": keys, "nats": Nats().credentials(site, self.name)}
            backend.hand_over_keys(vault, self.name, wanted)
        except hvac.exceptions.VaultError as error:
            raise ClusterError(f"Vault does not take the worker's set-up: {error}") from error
