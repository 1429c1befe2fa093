"""MinIO: its keys, the backend's bucket and user, and the harness' own access."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import minio
import urllib3
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, MinioException

from infraforge.components.base import Component, Listener
from infraforge.components.site import Site
from infraforge.errors import ClusterError

NAMESPACE = "infraforge-data"
BUCKET = "files"
_BACKEND_SECRET = "minio-backend"  # noqa: S105  a Secret's name
_POLICY = "backend"
_REGION = "us-east-1"
_FAILURES = (MinioException, MinioAdminException, urllib3.exceptions.HTTPError)


class Minio(Component):
    """One server, one drive; every object is encrypted."""

    name = "minio"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(9000),)
    reloads = True  # MinIO checks the files every 10 seconds

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        site.certificate(
            self.name,
            NAMESPACE,
            [self.name],
            extra_names=[f"*.minio-internal.{NAMESPACE}.svc"],
        )

    def prepare(self, site: Site) -> None:
        """Create the Secrets `minio` (root, encryption key) and `minio-backend`."""
        self._root(site)
        self.backend_keys(site)

    def configure(self, site: Site) -> None:
        """Create the backend's bucket, and its user, whose rights end at that bucket."""
        folder = site.tree / "components" / "minio"
        policy = json.loads((folder / "backend-policy.json").read_text())
        try:
            with self.connect(site) as store:
                if not store.bucket_exists(bucket_name=BUCKET):
                    store.make_bucket(bucket_name=BUCKET)
        except _FAILURES as error:
            raise ClusterError(f"MinIO refused the backend's set-up: {error}") from error
        self.let_in(site, _POLICY, self.backend_keys(site), policy)

    def let_in(
        self, site: Site, name: str, keys: tuple[str, str], policy: Mapping[str, Any]
    ) -> None:
        """Create a user with these keys and the rights of the policy (stored under `name`)."""
        user, secret = keys
        root = self._root(site)
        try:
            with self._way(site) as (endpoint, http):
                admin = minio.MinioAdmin(
                    endpoint=endpoint,
                    credentials=StaticProvider(*root),
                    region=_REGION,
                    http_client=http,
                )
                admin.policy_add(name, policy=dict(policy))
                admin.user_add(user, secret)
                admin.policy_set(name, user=user)
        except _FAILURES as error:
            raise ClusterError(f"MinIO refused the user {user}: {error}") from error

    def backend_keys(self, site: Site) -> tuple[str, str]:
        """The backend's user and secret, which it gets through Vault."""
        keys = site.secret(
            _BACKEND_SECRET,
            NAMESPACE,
            lambda: {"user": "backend", "secret": secrets.token_urlsafe(30)},
        )
        return keys["user"], keys["secret"]

    # for suites and probes

    @contextlib.contextmanager
    def connect(self, site: Site) -> Iterator[minio.Minio]:
        """A client with all rights (root)."""
        with self._way(site) as (endpoint, http):
            yield _client(endpoint, http, self._root(site))

    def _root(self, site: Site) -> tuple[str, str]:
        keys = site.secret(self.name, NAMESPACE, new_keys)
        return keys["root-user"], keys["root-password"]

    @contextlib.contextmanager
    def _way(self, site: Site) -> Iterator[tuple[str, urllib3.PoolManager]]:
        """MinIO's address through a port-forward, and a pool that trusts the platform CA only."""
        with (
            site.forward(NAMESPACE, f"svc/{self.name}", 9000) as port,
            _pool(site.ca_file) as http,
        ):
            yield f"localhost:{port}", http


def new_keys() -> Mapping[str, str]:
    """Root's name and password, and the key with which MinIO seals every object's own key."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "root-user": f"root-{secrets.token_hex(4)}",
        "root-password": secrets.token_urlsafe(30),
        "kms-key": f"infraforge:{key}",
    }


def _pool(ca_file: Path) -> urllib3.PoolManager:
    return urllib3.PoolManager(
        ssl_context=ssl.create_default_context(cafile=str(ca_file)),
        timeout=urllib3.Timeout(connect=5, read=30),
        retries=False,
    )


def _client(endpoint: str, http: urllib3.PoolManager, keys: tuple[str, str]) -> minio.Minio:
    user, secret = keys
    return minio.Minio(
        endpoint=endpoint,
        access_key=user,
        secret_key=secret,
        secure=True,
        region=_REGION,  # saves a request for the bucket's region
        http_client=http,
    )
