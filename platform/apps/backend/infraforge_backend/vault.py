"""Credentials from Vault, kept alive by one thread.

Signed in with the pod's own ServiceAccount token (audience `vault`) under a periodic token that
is renewed for as long as the process lives. The database login is a lease: renewed at half its
time, replaced before it can no longer be renewed, and replaced at once when Vault no longer
knows it or PostgreSQL no longer takes it. Keys for other services are read again every half
minute, so that changed ones are taken up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import hvac
import requests
from infraforge_shared.problems import NotAllowed, Unavailable

from infraforge_backend import metrics
from infraforge_backend.config import Config
from infraforge_backend.database import Login

log = logging.getLogger(__name__)

_LOOK_EVERY = 5.0
_KEYS_EVERY = 30.0
_BACKOFF_LIMIT = 10.0
_READ_SECONDS = 2  # users wait for it
_ERRORS = (hvac.exceptions.VaultError, requests.RequestException, OSError)


@dataclass(frozen=True)
class Keys:
    """A user name and its secret for one service. The secret is kept out of every text form."""

    user: str
    secret: str = field(repr=False)


class Takers(Protocol):
    """Who uses the credentials: called with new ones whenever there are new ones."""

    def use_database(self, login: Login) -> None: ...
    def use_redis(self, keys: Keys) -> None: ...
    def use_sentinel(self, keys: Keys) -> None: ...
    def use_minio(self, keys: Keys) -> None: ...
    def use_nats(self, keys: Keys) -> None: ...


class Credentials(Protocol):
    """Where credentials come from."""

    @property
    def held(self) -> bool:
        """Whether the database login is there and not known to be void."""

    def start(self, takers: Takers) -> None: ...
    def stop(self) -> None: ...
    def suspect(self) -> None:
        """PostgreSQL has refused the login: get another one soon."""

    def look_up(self, path: str) -> Mapping[str, Any] | None:
        """What is kept at `path`; None where there is nothing.

        Raises Unavailable, and NotAllowed where there is an answer, and it is that one may not ask.
        """


@dataclass
class _Lease:
    """asked: when it was asked for or renewed; ends: when it is void unless renewed."""

    lease_id: str
    asked: float
    ends: float

    @property
    def half(self) -> float:
        return self.asked + (self.ends - self.asked) / 2


class VaultCredentials:
    """Credentials from Vault; see the module's docstring."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._clock = clock
        self._client = hvac.Client(
            url=config.vault_address, verify=config.ca_file, timeout=5, token=""
        )
        self._reader = hvac.Client(
            url=config.vault_address, verify=config.ca_file, timeout=_READ_SECONDS, token=""
        )
        self._wake = threading.Event()
        self._stopping = False
        self._suspected = False
        self._lease: _Lease | None = None
        self._token_half = float("-inf")
        self._void_token = ""  # one that Vault was seen not to take
        self._refused = False  # Vault answers, and does not let this process in
        self._signed_in = threading.Condition()
        self._keys: dict[str, Keys] = {}
        self._keys_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="credentials", daemon=True)
        self._takers: Takers | None = None

    @property
    def held(self) -> bool:
        lease = self._lease
        return lease is not None and not self._suspected and self._clock() < lease.ends

    def start(self, takers: Takers) -> None:
        self._takers = takers
        self._thread.start()

    def suspect(self) -> None:
        self._suspected = True
        self._wake.set()

    def look_up(self, path: str) -> Mapping[str, Any] | None:
        """What Vault keeps at `path`, read under this process' token; from any thread.

        A token that Vault no longer takes is replaced, and the question put once more.
        """
        token = self._client.token
        if not token:
            raise self._no_token()
        try:
            return self._look_up(path, token)
        except hvac.exceptions.Forbidden:
            self._void_token = token
            self._wake.set()
        with self._signed_in:
            self._signed_in.wait_for(lambda: self._client.token not in ("", token), _READ_SECONDS)
        again = self._client.token
        if not again:
            raise self._no_token()
        try:
            return self._look_up(path, again)
        except hvac.exceptions.Forbidden as error:
            raise NotAllowed("vault does not let this process ask") from error

    def _look_up(self, path: str, token: str) -> Mapping[str, Any] | None:
        try:
            self._reader.token = token
            answer = self._reader.read(path)
        except hvac.exceptions.Forbidden:
            raise
        except _ERRORS as error:
            raise Unavailable(f"vault does not answer: {type(error).__name__}") from error
        return None if answer is None else answer["data"]

    def _no_token(self) -> Unavailable:
        if self._refused:
            return NotAllowed("vault does not let this process in")
        return Unavailable("there is no way into vault yet")

    def stop(self) -> None:
        """Give the credentials back: revoking the token revokes the lease and drops the role."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=5)
        try:
            if self._client.token:
                self._client.auth.token.revoke_self()
        except _ERRORS as error:
            log.info("token not revoked, it will expire", extra={"error": _text(error)})

    def _run(self) -> None:
        pause = 0.0
        failures = 0
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._round()
            except _ERRORS as error:
                self._refused = isinstance(error, hvac.exceptions.Forbidden)
                if self._refused:
                    self._forget_token()
                failures += 1
                pause = min(_BACKOFF_LIMIT, 0.25 * 2 ** min(failures, 6))
                log.warning("vault: trying again", extra={"error": _text(error), "in": pause})
            else:
                failures, pause = 0, _LOOK_EVERY

    def _round(self) -> None:
        """One look at everything; raises what Vault answers when it cannot be done."""
        now = self._clock()
        if self._void_token and self._void_token == self._client.token:
            self._forget_token()
        if now >= self._token_half:
            self._sign_in_or_renew(now)
        if now - self._keys_at >= _KEYS_EVERY:
            self._read_keys()
            self._keys_at = now
        if self._suspected or self._lease is None or not self._lease_lives(now):
            self._new_login()
            self._suspected = False

    def _sign_in_or_renew(self, now: float) -> None:
        if self._client.token:
            answer = self._client.auth.token.renew_self()
            self._token_half = now + answer["auth"]["lease_duration"] / 2
            return
        jwt = Path(self._config.vault_token_file).read_text().strip()
        answer = self._client.auth.kubernetes.login(role=self._config.vault_role, jwt=jwt)
        self._token_half = now + answer["auth"]["lease_duration"] / 2
        with self._signed_in:
            self._refused = False
            self._signed_in.notify_all()
        log.info("signed in at vault", extra={"accessor": answer["auth"]["accessor"]})

    def _forget_token(self) -> None:
        """The token is gone, and with it the lease it was the parent of: sign in anew."""
        self._client.token = ""
        self._token_half = float("-inf")
        self._lease = None

    def _lease_lives(self, now: float) -> bool:
        lease = self._lease
        if lease is None:
            return False
        try:
            if now < lease.half:
                self._client.sys.read_lease(lease.lease_id)
                return True
            asked = self._clock()
            answer = self._client.sys.renew_lease(lease.lease_id)
        except hvac.exceptions.InvalidRequest:
            log.warning("database lease is gone", extra={"lease": lease.lease_id})
            return False
        given = float(answer["lease_duration"])
        wanted = lease.ends - lease.asked
        lease.asked, lease.ends = asked, asked + given
        # a lease near its maximum is renewed for less and less: replace it in time
        return given >= wanted / 2

    def _new_login(self) -> None:
        asked = self._clock()
        answer = self._client.secrets.database.generate_credentials(name=self._config.vault_role)
        login = Login(answer["data"]["username"], answer["data"]["password"])
        old = self._lease
        self._lease = _Lease(answer["lease_id"], asked, asked + float(answer["lease_duration"]))
        metrics.CREDENTIALS.inc()
        log.info("database login", extra={"user": login.user, "lease": answer["lease_id"]})
        if self._takers is not None:
            self._takers.use_database(login)
        if old is not None:
            log.info("database login replaced", extra={"lease": old.lease_id})

    def _read_keys(self) -> None:
        takers = self._takers
        if takers is None:
            return
        take = {
            "minio": takers.use_minio,
            "redis": takers.use_redis,
            "sentinel": takers.use_sentinel,
            "nats": takers.use_nats,
        }
        for name in self._config.vault_keys.split():
            keys = self._read(name)
            if keys != self._keys.get(name):
                self._keys[name] = keys
                take[name](keys)

    def _read(self, name: str) -> Keys:
        answer: dict[str, Any] = self._client.secrets.kv.v2.read_secret_version(
            path=f"{self._config.vault_role}/{name}",
            mount_point="kv",
            raise_on_deleted_version=True,
        )
        data = answer["data"]["data"]
        return Keys(data["user"], data["secret"])


def _text(error: Exception) -> str:
    """The kind of error and its own words: Vault's say what it refused, requests' an address."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
