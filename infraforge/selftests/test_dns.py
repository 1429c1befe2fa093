"""CoreDNS on every node, against a Deployment and pods that are made of a few values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from infraforge.cluster import dns
from infraforge.errors import ClusterError, TimedOut
from infraforge.profile import Profile, names

TREE = Path(__file__).parents[2] / "platform"


def pod(node: str, *, ready: bool = True, dying: bool = False) -> Any:
    return SimpleNamespace(
        spec=SimpleNamespace(node_name=node),
        metadata=SimpleNamespace(deletion_timestamp="now" if dying else None),
        status=SimpleNamespace(
            conditions=[SimpleNamespace(type="Ready", status="True" if ready else "False")]
        ),
    )


class Api:
    """Both halves of the API; asked: what was changed, in order."""

    def __init__(self, *pods: Any, nodes: int = 3, observed: int = 2) -> None:
        self.pods, self.nodes, self.observed = pods, nodes, observed
        self.asked: list[tuple[str, Any]] = []
        self.refuses = False

    def list_node(self) -> Any:
        return SimpleNamespace(items=[None] * self.nodes)

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        assert (namespace, label_selector) == ("kube-system", "k8s-app=kube-dns")
        return SimpleNamespace(items=list(self.pods))

    def read_namespaced_deployment(self, name: str, namespace: str) -> Any:
        status = SimpleNamespace(observed_generation=self.observed, updated_replicas=self.nodes)
        return SimpleNamespace(metadata=SimpleNamespace(generation=2), status=status)

    def patch_namespaced_deployment(self, name: str, namespace: str, body: Any) -> None:
        if self.refuses:
            raise client.ApiException(status=403, reason="Forbidden")
        self.asked.append((name, body))

    def patch_namespaced_service(self, name: str, namespace: str, body: Any) -> None:
        self.asked.append((name, body))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def given(api: Api) -> Any:
        monkeypatch.setattr(dns.client, "CoreV1Api", lambda _: api)
        monkeypatch.setattr(dns.client, "AppsV1Api", lambda _: api)
        return SimpleNamespace(api=None)

    return given


def test_the_service_turns_to_the_own_node_once_each_has_a_resolver(use: Any) -> None:
    api = Api(pod("a"), pod("b"), pod("c"))
    dns.on_every_node(use(api), TREE, 0.2)
    [(first, deployment), (second, service)] = api.asked
    assert (first, second) == ("coredns", "kube-dns")
    assert deployment["spec"]["replicas"] == 3
    assert service == {"spec": {"internalTrafficPolicy": "Local"}}


@pytest.mark.parametrize(
    "pods",
    [
        [pod("a"), pod("b")],
        [pod("a"), pod("b"), pod("b")],
        [pod("a"), pod("b"), pod("c", ready=False)],
        [pod("a"), pod("b"), pod("c", dying=True)],
    ],
    ids=["one short", "two on a node", "one not ready", "one on its way out"],
)
def test_until_then_any_resolver_is_asked(use: Any, pods: list[Any]) -> None:
    api = Api(*pods)
    with pytest.raises(TimedOut, match="ready on each of 3 nodes"):
        dns.on_every_node(use(api), TREE, 0.2)
    assert [name for name, _ in api.asked] == ["coredns"]


def test_what_the_controller_has_not_seen_yet_says_nothing(use: Any) -> None:
    with pytest.raises(TimedOut):
        dns.on_every_node(use(Api(pod("a"), pod("b"), pod("c"), observed=1)), TREE, 0.2)


def test_a_refusal_is_told(use: Any) -> None:
    api = Api()
    api.refuses = True
    with pytest.raises(ClusterError, match="Forbidden"):
        dns.on_every_node(use(api), TREE, 0.2)


def test_single_nodes_keep_what_kubeadm_set_up() -> None:
    found = {name: Profile.load(name, TREE).cluster for name in names(TREE)}
    assert {name for name, one in found.items() if one.dns == "every-node"} == {
        name for name, one in found.items() if one.workers > 1
    }
