"""The API server's audit policy, evaluated as the API server does: the first matching rule decides.

The rules of matching are those of k8s.io/apiserver, pkg/audit/policy/checker.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from infraforge.stack import TREE
from infraforge.workloads.ways_in import WAYS

POLICY: Mapping[str, Any] = yaml.safe_load((TREE / "cluster" / "audit-policy.yaml").read_text())
NODE = ("system:node:worker", ("system:nodes", "system:authenticated"))
ADMIN = ("kubernetes-admin", ("kubeadm:cluster-admins", "system:authenticated"))
SCHEDULER = ("system:kube-scheduler", ("system:authenticated",))


@dataclass(frozen=True)
class Request:
    """resource: with its subresource, "" for another URL; path: that one."""

    verb: str
    resource: str = ""
    group: str = ""
    path: str = ""
    user: str = ADMIN[0]
    groups: Sequence[str] = ADMIN[1]

    def by(self, who: tuple[str, Sequence[str]]) -> Request:
        return Request(self.verb, self.resource, self.group, self.path, *who)


def level(request: Request) -> str:
    """What is written of the request."""
    for rule in POLICY["rules"]:
        if matches(rule, request):
            return str(rule["level"])
    return "None"


def matches(rule: Mapping[str, Any], request: Request) -> bool:
    known = {"level", "users", "userGroups", "verbs", "resources", "nonResourceURLs"}
    assert set(rule) <= known, "this evaluation knows no more of a rule"
    if "users" in rule and request.user not in rule["users"]:
        return False
    if "userGroups" in rule and not set(rule["userGroups"]) & set(request.groups):
        return False
    if "verbs" in rule and request.verb not in rule["verbs"]:
        return False
    if "resources" in rule:
        return bool(request.resource) and any(
            group["group"] in (request.group, "*") and resource_is(group["resources"], request)
            for group in rule["resources"]
        )
    if "nonResourceURLs" in rule:
        return not request.resource and any(
            spec in (request.path, "*")
            or (spec.endswith("*") and request.path.startswith(spec.rstrip("*")))
            for spec in rule["nonResourceURLs"]
        )
    return True


def resource_is(named: Sequence[str], request: Request) -> bool:
    resource, _, sub = request.resource.partition("/")
    return any(
        one in (request.resource, "*")
        or (sub and one == f"*/{sub}")
        or (one.endswith("/*") and one.removesuffix("/*") == resource)
        for one in named
    )


WAYS_IN = [
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/proxy",
    "pods/ephemeralcontainers",
    "services/proxy",
    "nodes/proxy",
]


@pytest.mark.parametrize("who", [ADMIN, NODE, SCHEDULER], ids=lambda who: who[0])
@pytest.mark.parametrize("verb", ["get", "create", "update", "patch", "delete"])
@pytest.mark.parametrize("resource", WAYS_IN)
def test_a_way_into_a_pod_or_node_is_written_down(
    resource: str, verb: str, who: tuple[str, Sequence[str]]
) -> None:
    """For every user and every verb: over WebSocket all of these are `get`."""
    assert level(Request(verb, resource).by(who)) == "Metadata"


@pytest.mark.parametrize("name", WAYS)
def test_what_the_suites_try_is_written_down(name: str) -> None:
    assert level(Request("get", WAYS[name].resource)) == "Metadata"


@pytest.mark.parametrize("who", [ADMIN, NODE, SCHEDULER], ids=lambda who: who[0])
@pytest.mark.parametrize("verb", ["get", "list", "watch"])
def test_whoever_reads_a_secret_is_written_down(verb: str, who: tuple[str, Sequence[str]]) -> None:
    assert level(Request(verb, "secrets").by(who)) == "Metadata"


@pytest.mark.parametrize(
    "request_",
    [
        Request("get", "pods/log"),
        Request("create", "serviceaccounts/token").by(NODE),
        Request("get", path="/debug/pprof/heap"),
        Request("get", path="/logs/kube-apiserver.log"),
        Request("create", "pods"),
        Request("patch", "deployments", "apps"),
        Request("delete", "namespaces"),
        Request("create", "clusterrolebindings", "rbac.authorization.k8s.io"),
    ],
    ids=lambda r: f"{r.verb} {r.resource or r.path}",
)
def test_it_is_logged_without_its_body(request_: Request) -> None:
    assert level(request_) == "Metadata"


@pytest.mark.parametrize(
    "request_",
    [
        Request("list", "pods"),
        Request("watch", "configmaps").by(NODE),
        Request("patch", "nodes/status").by(NODE),
        Request("update", "leases", "coordination.k8s.io"),
        Request("get", path="/healthz/etcd"),
        Request("get", path="/metrics"),
    ],
    ids=lambda r: f"{r.verb} {r.resource or r.path}",
)
def test_the_clusters_own_chatter_is_not_logged(request_: Request) -> None:
    """Else the log would turn over before anybody could read it."""
    assert level(request_) == "None"


def test_no_body_is_ever_written() -> None:
    """Bodies hold Secrets and tokens."""
    assert {rule["level"] for rule in POLICY["rules"]} == {"None", "Metadata"}
