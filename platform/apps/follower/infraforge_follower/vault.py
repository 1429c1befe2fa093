"""The follower's client of Vault: reads and writes people and groups."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import urllib3

from infraforge_follower.config import Config


class Refused(Exception):
    """Vault refuses a request, or does not answer."""


class Vault:
    """Signs in with the pod's ServiceAccount token, and again before Vault's token expires."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._token = ""
        self._until = float("-inf")
        self._pool = urllib3.PoolManager(
            ca_certs=config.ca_file,
            cert_reqs="CERT_REQUIRED",
            timeout=urllib3.Timeout(connect=2.0, read=5.0),
            retries=urllib3.Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0),
        )

    def people(self) -> dict[str, str]:
        """Name → entity id of the people whom Vault has under the directory's auth method."""
        found = self._ask("LIST", "identity/entity-alias/id") or {}
        return {
            alias["name"]: alias["canonical_id"]
            for alias in found.get("key_info", {}).values()
            if alias["mount_accessor"] == self._config.accessor
        }

    def read(self, path: str) -> Mapping[str, Any] | None:
        """The object at `path`; None if there is none. Raises Refused."""
        return self._ask("GET", path)

    def write(self, path: str, values: Mapping[str, Any]) -> None:
        """Write the object at `path`. Raises Refused."""
        self._ask("POST", path, values)

    def delete(self, path: str) -> None:
        """Delete the object at `path`, if it exists. Raises Refused."""
        self._ask("DELETE", path)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        if self._clock() >= self._until:
            self._sign_in()
        status, answer = self._call(method, path, body)
        if status == 403:  # token revoked, or Vault set up anew: the next round signs in
            self._until = float("-inf")
        if status == 404:
            return None
        if status not in (200, 204):
            raise Refused(f"{method} {path.rpartition('/')[0]} answered {status}")
        return answer.get("data") or {}

    def _sign_in(self) -> None:
        jwt = Path(self._config.vault_token_file).read_text().strip()
        self._token = ""
        asked = self._clock()
        status, answer = self._call(
            "POST", "auth/kubernetes/login", {"role": self._config.vault_role, "jwt": jwt}
        )
        if status != 200:
            raise Refused(f"signing in answered {status}")
        self._token = answer["auth"]["client_token"]
        self._until = asked + answer["auth"]["lease_duration"] / 2

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, Any]]:
        headers = {"X-Vault-Request": "true"}
        if self._token:
            headers["X-Vault-Token"] = self._token
        url = f"{self._config.vault_address}/v1/{urllib.parse.quote(path)}"
        try:
            answer = self._pool.request(method, url, headers=headers, json=body)
            return answer.status, answer.json() if answer.data else {}
        except urllib3.exceptions.HTTPError as error:
            raise Refused(type(error).__name__) from error
        except ValueError as error:
            raise Refused("the answer is not JSON") from error
