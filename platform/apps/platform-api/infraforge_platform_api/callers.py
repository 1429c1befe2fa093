"""Authenticates the caller: only the backend may call this API.

The backend sends a token of its ServiceAccount. The kubelet issued that token for this service
alone (its audience), and it expires within minutes or with the pod. This service asks the API
server whose token it is (TokenReview). Client certificates would also work, but the kubelet's
probes have none, and every component has one of the same CA.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from infraforge_platform_api.kube import Kube, Object

_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_REMEMBERED = 64


class Callers:
    """Recognises the caller. It trusts a token for `seconds` after the API server confirmed it."""

    def __init__(
        self,
        kube: Kube,
        audience: str,
        caller: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._audience = audience
        self._caller = caller
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._believed: dict[bytes, float] = {}

    def known(self, authorization: str) -> bool:
        """Whether this Authorization header is the caller's. Raises Unavailable if unknown."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return False
        key = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        now = self._clock()
        with self._lock:
            if self._believed.get(key, float("-inf")) > now:
                return True
        if not self._vouched(token):
            return False
        with self._lock:
            if len(self._believed) >= _REMEMBERED:
                self._believed.clear()
            self._believed[key] = now + self._seconds
        return True

    def _vouched(self, token: str) -> bool:
        question: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        status = self._kube.create(_PATH, question).get("status", {})
        return bool(
            status.get("authenticated") is True
            and self._audience in status.get("audiences", ())
            and status.get("user", {}).get("username") == self._caller
        )
