"""Who calls: only the backend is answered.

The backend shows a token of its ServiceAccount that the kubelet made for this service alone
(audience), that ends within minutes and with its pod. The API server is asked whose it is
(TokenReview). Certificates would have done as well, but the kubelet's probes have none, and every
component has one of the same CA.
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
    """Recognises the caller. What the API server vouched for is believed for `seconds`."""

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
        """Whether this Authorization header is the caller's; Unavailable if nobody can say."""
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
