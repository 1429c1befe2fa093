"""A client of the Kubernetes API with this pod's ServiceAccount: read, create, merge-patch.

Unavailable         503: the API server does not answer. Nothing was changed.
OutcomeUnknown      503: a change got no answer
Refused             the API server answered with an error; status is its own
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
from infraforge_shared.problems import OutcomeUnknown, Unavailable

log = logging.getLogger(__name__)

Object = dict[str, Any]
_TIMEOUT = urllib3.Timeout(connect=2.0, read=8.0)
_MERGE = "application/merge-patch+json"
_NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    OSError,  # the token cannot be read; failures while sending are urllib3's own errors
)


class Refused(Exception):
    """The API server refused the request. status: HTTP status; message: its reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Kube:
    """One process' connections to the API server. Thread-safe.

    It reads token_file for every request, because the kubelet replaces the token before it expires.
    """

    def __init__(self, address: str, ca_file: str, token_file: str) -> None:
        self._address = address.rstrip("/")
        self._token_file = Path(token_file)
        self._pool = urllib3.PoolManager(
            ca_certs=ca_file, cert_reqs="CERT_REQUIRED", maxsize=16, retries=False
        )

    def read(self, path: str) -> Object:
        """The object or list at `path`."""
        return self._ask("GET", path)

    def create(self, path: str, body: Object) -> Object:
        """The object that the API server created from `body`."""
        return self._ask("POST", path, body)

    def merge(self, path: str, change: Mapping[str, Any]) -> Object:
        """The object at `path` with `change` merged into it (RFC 7386)."""
        return self._ask("PATCH", path, dict(change), _MERGE)

    def _ask(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        try:
            answer = self._pool.request(
                method,
                self._address + path,
                body=None if body is None else json.dumps(body).encode(),
                headers={
                    "Authorization": f"Bearer {self._token_file.read_text().strip()}",
                    "Content-Type": kind,
                    "Accept": "application/json",
                },
                timeout=_TIMEOUT,
                redirect=False,
            )
            data = answer.json() if answer.data else {}
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            log.warning("the API server does not answer", extra={"error": type(error).__name__})
            if method == "PATCH" and not isinstance(error, _NOT_SENT):
                raise OutcomeUnknown from error
            raise Unavailable("the Kubernetes API server does not answer") from error
        if answer.status < 300:
            return dict(data)
        message = str(data.get("message", ""))[:500] if isinstance(data, dict) else ""
        if answer.status == 429 or answer.status >= 500:
            log.warning("the API server fails", extra={"status": answer.status, "error": message})
            if method == "PATCH" and answer.status != 429:
                raise OutcomeUnknown
            raise Unavailable("the Kubernetes API server cannot serve this now")
        raise Refused(answer.status, message)
