"""The way to the platform API: who asks is passed on, with this pod's own word for it.

The token is the kubelet's, made for the platform API alone and short-lived; the user is the one
whose session the ingress has checked, and whose role the table of rules lets through.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3
from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_backend.access import Identity
from infraforge_backend.config import Config

log = logging.getLogger(__name__)

_TIMEOUT = urllib3.Timeout(connect=2.0, read=12.0)
_SHORT = urllib3.Timeout(connect=0.5, read=1.0)
_AT_ONCE = 4
_PATIENCE = 1.0
_PASSED_BACK = ("Content-Type", "Allow", "Retry-After")
_NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    OSError,  # the token cannot be read; what goes wrong while sending is urllib3's own
)


@dataclass(frozen=True)
class Question:
    """What is passed on. target: path and query as they are sent; kind: of the body."""

    method: str
    target: str
    kind: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PlatformApi:
    """One process' connections to the platform API. Thread-safe.

    Only a few requests are passed on at once: one that hangs must not take all threads with it.
    """

    def __init__(self, config: Config) -> None:
        self._address = config.platform_api_address.rstrip("/")
        self._token_file = Path(config.platform_api_token_file)
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._pool = urllib3.PoolManager(
            ca_certs=config.ca_file, cert_reqs="CERT_REQUIRED", maxsize=_AT_ONCE, retries=False
        )

    def ask(self, who: Identity, request_id: str, question: Question) -> Answer:
        """The platform API's answer.

        Raises Unavailable where it gave none, OutcomeUnknown where a change may have been made.
        """
        if not self._free.acquire(timeout=_PATIENCE):
            raise Unavailable("the platform API is busy")
        try:
            return self._ask(who, request_id, question)
        finally:
            self._free.release()

    def addresses(self, namespace: str, name: str) -> list[str] | None:
        """The addresses of a component's pods as of now, "" for one without; None: nobody says."""
        headers = {"Authorization": self._word(), "Accept": "application/json"}
        try:
            answer = self._pool.request(
                "GET",
                f"{self._address}/pods/{namespace}/{name}",
                headers=headers,
                timeout=_SHORT,
                redirect=False,
            )
            found = answer.json()["addresses"] if answer.status == 200 else None
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError):
            return None
        return [str(address) for address in found] if isinstance(found, list) else None

    def _ask(self, who: Identity, request_id: str, question: Question) -> Answer:
        try:
            answer = self._pool.request(
                question.method,
                self._address + question.target,
                body=question.body or None,
                headers=self._headers(who, request_id, question),
                timeout=_TIMEOUT,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            log.warning("the platform API does not answer", extra={"error": type(error).__name__})
            if question.method != "GET" and not isinstance(error, _NOT_SENT):
                raise OutcomeUnknown from error
            raise Unavailable("the platform API does not answer") from error
        if answer.status == 401:  # of this pod, not of the user: they are signed in
            log.error("the platform API does not know this backend")
            raise Unavailable("the platform API does not take the backend's word")
        headers = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
        return Answer(answer.status, headers, answer.data)

    def _headers(self, who: Identity, request_id: str, question: Question) -> dict[str, str]:
        values = {
            "Authorization": self._word(),
            "X-Forwarded-User": _wire(who.user),
            "X-Forwarded-Groups": _wire(",".join(who.groups)),
            "X-Request-Id": request_id,
            "Accept": "application/json",
        }
        return values | ({"Content-Type": question.kind} if question.kind else {})

    def _word(self) -> str:
        return f"Bearer {self._token_file.read_text().strip()}"


def _wire(text: str) -> str:
    """UTF-8 the way http.client sends it: as latin-1."""
    return text.encode().decode("latin-1")
