"""A ServiceAccount's rights at the API server: those it lists itself, and those it has when tried.

Every request that would change something is a dry run: authorization and admission decide as usual,
and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from infraforge.components.site import OPERATOR, SYSTEM, Site
from infraforge.errors import ClusterError

ALLOWED, REFUSED = "allowed", "refused"
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
_MERGE = "application/strategic-merge-patch+json"
_STREAM = "pgrade request required"
_TIMEOUT = 15.0


@dataclass(frozen=True)
class Request:
    """One request to the API server. stream: exec and the like, which have no dry run."""

    method: str
    path: str
    body: Any = None
    stream: bool = False


@dataclass(frozen=True)
class Tried:
    """The answer to a request: allowed, refused, or None where it was neither; and the message."""

    outcome: str | None
    words: str


class Account:
    """A ServiceAccount at the API server, with its own token, valid ten minutes."""

    def __init__(self, site: Site, namespace: str, name: str) -> None:
        configuration = site.cluster.api.configuration
        self._host = str(configuration.host).rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(configuration.ssl_ca_cert)
        self._session.headers["Authorization"] = f"Bearer {site.account_token(name, namespace)}"

    def listed(self, namespace: str) -> frozenset[str]:
        """Its rights in a namespace, cluster-wide ones included: `VERB GROUP/RESOURCE[/NAME]`.

        Raises ClusterError where the API server cannot list them all.
        """
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        answer = self._send(Request("POST", _REVIEW, body), dry=False)
        if answer.status_code != 201:
            raise ClusterError(
                f"the API server did not list its rights: {answer.status_code} {answer.text[:200]}"
            )
        status = answer.json()["status"]
        if status.get("incomplete"):
            raise ClusterError(
                f"the API server listed only some rights: {status.get('evaluationError')}"
            )
        return frozenset(right for rule in status["resourceRules"] for right in _rights(rule))

    def tries(self, request: Request) -> Tried:
        """How the API server answers the request."""
        answer = self._send(request, dry=not request.stream and request.method != "GET")
        words = _message(answer)
        by_policy = answer.status_code == 422 and "ValidatingAdmissionPolicy" in words
        if answer.status_code == 403 or by_policy:
            return Tried(REFUSED, words)
        let_through = answer.status_code == 400 and request.stream and _STREAM in words
        if answer.ok or let_through:
            return Tried(ALLOWED, words)
        return Tried(None, f"{answer.status_code} {words}")

    def _send(self, request: Request, *, dry: bool) -> requests.Response:
        kind = _MERGE if request.method == "PATCH" else "application/json"
        try:
            return self._session.request(
                request.method,
                self._host + request.path,
                params={"dryRun": "All"} if dry else None,
                json=request.body,
                headers={"Content-Type": kind},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ClusterError(f"{request.method} {request.path}: {error}") from error


def listed(site: Site, namespace: str, name: str, where: str) -> frozenset[str]:
    """The account's rights in `where`, beyond those that every account has."""
    return Account(site, namespace, name).listed(where) - Account(site, SYSTEM, OPERATOR).listed(
        where
    )


def _rights(rule: Mapping[str, Any]) -> list[str]:
    names = rule.get("resourceNames") or [""]
    return [
        f"{verb} {group}{'/' if group else ''}{resource}{'/' if name else ''}{name}"
        for verb in rule["verbs"]
        for group in rule.get("apiGroups") or [""]
        for resource in rule.get("resources") or []
        for name in names
    ]


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("message", ""))
    except ValueError:
        return answer.text[:300]
