"""The login page's client of Vault: one password check, one authorization code, no token kept."""

from __future__ import annotations

import logging
import urllib.parse
from collections.abc import Mapping
from typing import Any

import urllib3

from infraforge_login import names
from infraforge_login.config import Config

log = logging.getLogger(__name__)

_DENIALS = (400, 403)


class Denied(Exception):
    """Vault refuses this name with this password, and never says why."""


class Unavailable(Exception):
    """Vault cannot answer now."""


class Vault:
    """Talks to Vault over verified TLS. Names and passwords go in bodies and are never logged."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._names = names.of(config.auth_path)
        self._pool = urllib3.PoolManager(
            ca_certs=config.ca_file,
            cert_reqs="CERT_REQUIRED",
            timeout=urllib3.Timeout(connect=2.0, read=config.timeout),
            # retry a refused connection once, but never a request that was sent
            retries=urllib3.Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0),
        )

    def code(self, name: str, password: str, query: str) -> tuple[str, str]:
        """Authorization code and state for the person, for the authorization request `query`.

        Always revokes the token that the password gave. Raises names.NoName, Denied or Unavailable.
        """
        token = self._sign_in(name, password)
        try:
            return self._authorize(token, query)
        finally:
            self._revoke(token)

    def _sign_in(self, name: str, password: str) -> str:
        # the name becomes part of the path, so it must be a valid one
        name = self._names.read(name)
        path = f"{self._config.auth_path}/login/{urllib.parse.quote(name, safe='')}"
        status, body = self._call("POST", path, body={"password": password})
        if status in _DENIALS:
            raise Denied
        token = _text(body, "auth", "client_token")
        if status != 200 or not token:
            raise Unavailable(f"login answered {status}")
        return token

    def _authorize(self, token: str, query: str) -> tuple[str, str]:
        path = f"identity/oidc/provider/{self._config.provider}/authorize?{query}"
        status, body = self._call("GET", path, token=token)
        if status in _DENIALS and _text(body, "error") in ("", "access_denied"):
            raise Denied
        code, state = _text(body, "code"), _text(body, "state")
        if status != 200 or not code:
            # report only the kind of error: its description may quote the request
            raise Unavailable(f"authorize answered {status} {_text(body, 'error')}")
        return code, state

    def _revoke(self, token: str) -> None:
        try:
            status, _ = self._call("POST", "auth/token/revoke-self", token=token)
        except Unavailable:
            status = 0
        if status != 204:
            log.warning("a login token was not revoked; it expires within a minute")

    def _call(
        self, method: str, path: str, *, token: str = "", body: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        headers = {"X-Vault-Request": "true"}
        if token:
            headers["X-Vault-Token"] = token
        url = f"{self._config.vault_address}/v1/{path}"
        try:
            answer = self._pool.request(method, url, headers=headers, json=body)
            return answer.status, answer.json() if answer.data else {}
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(type(error).__name__) from error
        except ValueError as error:
            raise Unavailable("the answer is not JSON") from error


def _text(body: Any, *keys: str) -> str:
    """The string at `keys` in a JSON answer; empty if there is none."""
    for key in keys:
        body = body.get(key) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""
