"""A client of the registry that the nodes pull from (OCI Distribution). It only sends HEAD."""

from __future__ import annotations

import logging
import re

import urllib3

log = logging.getLogger(__name__)

_TIMEOUT = urllib3.Timeout(connect=1.0, read=3.0)
_KINDS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NoAnswer(Exception):
    """The registry gave no usable answer; the text says why."""


class Registry:
    """A registry at `address` that mirrors images of one canonical host under their own paths.

    prefix: the canonical host, e.g. `ghcr.io`; images of other hosts are not looked up.
    """

    def __init__(self, address: str, prefix: str, ca_file: str) -> None:
        self.address = address.rstrip("/")
        self._prefix = prefix
        self._pool = urllib3.PoolManager(
            ca_certs=ca_file, cert_reqs="CERT_REQUIRED", maxsize=4, retries=False
        )

    def probe(self) -> None:
        """Raises NoAnswer unless a registry answers at the address."""
        status = self._head("/v2/").status
        if status != 200:
            raise NoAnswer(f"it answers {status}")

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of a tag or digest; None if the registry lacks it. Raises NoAnswer."""
        path = repository.removeprefix(f"{self._prefix}/")
        if path == repository:
            raise NoAnswer(f"images of {repository.partition('/')[0]} are not looked up")
        answer = self._head(f"/v2/{path}/manifests/{reference}")
        if answer.status == 404:
            return None
        found = answer.headers.get("Docker-Content-Digest", "")
        if answer.status != 200 or not _DIGEST.fullmatch(found):
            raise NoAnswer(f"it answers {answer.status}")
        return found

    def _head(self, path: str) -> urllib3.BaseHTTPResponse:
        if not self.address:
            raise NoAnswer("no registry is configured")
        try:
            return self._pool.request(
                "HEAD",
                self.address + path,
                headers={"Accept": _KINDS},
                timeout=_TIMEOUT,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            log.info("the registry does not answer", extra={"error": type(error).__name__})
            raise NoAnswer(f"no answer ({type(error).__name__})") from error
