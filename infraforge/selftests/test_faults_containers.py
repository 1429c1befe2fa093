"""Pausing and killing containers, against a simulated cluster."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from infraforge import faults
from infraforge.components import containers
from infraforge.errors import ClusterError, Unable
from infraforge.faults.pause import task_state

LISTING = """TASK    PID     STATUS
aaa     100     RUNNING
bbb     101     PAUSED
"""


class Node:
    """A node whose containerd knows the tasks in `states`."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.asked: list[tuple[str, ...]] = []

    def on_node(self, node: str, *argv: str) -> str:
        assert (node, *argv[:3]) == ("node-1", "ctr", "--namespace=k8s.io", "task")
        self.asked.append(argv[3:])
        verb, *rest = argv[3:]
        if verb == "pause":
            self.states[rest[-1]] = "PAUSED"
        elif verb == "resume":
            self.states[rest[-1]] = "RUNNING"
        lines = [f"{name}    1    {state}" for name, state in self.states.items()]
        return "\n".join(["TASK    PID    STATUS", *lines])


def pod(
    name: str, uid: str, *boxes: str, restarts: int = 0, namespace: str = "infraforge-data"
) -> Any:
    running = SimpleNamespace(running=SimpleNamespace())
    statuses = [
        SimpleNamespace(
            name=box, state=running, container_id=f"containerd://{box}-id", restart_count=restarts
        )
        for box in boxes
    ]
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, namespace=namespace, uid=uid, deletion_timestamp=None),
        spec=SimpleNamespace(
            node_name="node-1", containers=[SimpleNamespace(name=box) for box in boxes]
        ),
        status=SimpleNamespace(
            container_statuses=statuses,
            conditions=[SimpleNamespace(type="Ready", status="True")],
        ),
    )


class Pods:
    """The API server's pods."""

    def __init__(self, pods: Sequence[Any]) -> None:
        self.pods = list(pods)
        self.deleted: list[tuple[str, Any]] = []

    def list_pod_for_all_namespaces(self, label_selector: str) -> Any:
        # the platform's own alone: a probe's or an impostor's pod wears the name, too
        assert label_selector.startswith(
            "app.kubernetes.io/part-of=infraforge,app.kubernetes.io/name="
        )
        return SimpleNamespace(items=list(self.pods))

    def read_namespaced_pod(self, name: str, namespace: str) -> Any:
        for pod in self.pods:
            if (pod.metadata.name, pod.metadata.namespace) == (name, namespace):
                return pod
        raise client.ApiException(status=404, reason="Not Found")

    def delete_namespaced_pod(self, name: str, namespace: str, body: Any) -> None:
        self.deleted.append((name, body))


def site(*pods: Any, cluster: Any = None) -> Any:
    budgets = SimpleNamespace(component=0.2)
    return SimpleNamespace(
        core=Pods(pods), cluster=cluster, profile=SimpleNamespace(budgets=budgets, components={})
    )


def test_the_state_of_exactly_one_task_is_read() -> None:
    assert [task_state(LISTING, name) for name in ("aaa", "bbb", "aa", "TASK")] == [
        "RUNNING", "PAUSED", "", "STATUS",
    ]  # fmt: skip


def test_containerd_proves_a_pause_and_its_undo_ends_it() -> None:
    node = Node(**{"redis-id": "RUNNING"})
    here = site(pod("redis-cache-0", "1", "redis"), cluster=node)
    aimed = faults.Pause("redis-cache").aim(here)
    assert aimed.took_effect(here) == ""
    aimed.strike(here)
    assert "PAUSED" in aimed.took_effect(here)
    aimed.undo.perform(here)
    assert node.states == {"redis-id": "RUNNING"}


@pytest.mark.parametrize("states", [{}, {"redis-id": "RUNNING"}], ids=["gone", "running"])
def test_resuming_what_is_not_paused_is_no_error(states: dict[str, str]) -> None:
    node = Node(**states)
    faults.Resume("node-1", "redis-id").perform(site(cluster=node))
    assert ("resume", "redis-id") not in node.asked


def test_a_pause_needs_a_cluster_with_nodes_at_hand() -> None:
    here = site(pod("redis-cache-0", "1", "redis"), cluster=SimpleNamespace())
    with pytest.raises(Unable, match="needs access to the cluster's nodes"):
        faults.Pause("redis-cache").aim(here)


def test_the_container_named_like_its_component_is_the_main_one() -> None:
    here = site(pod("vault-0", "1", "unsealer", "vault"))
    assert containers.find(here, "vault").name == "vault"
    assert containers.find(here, "vault", "unsealer").container_id == "unsealer-id"


def test_pods_of_other_namespaces_and_dying_ones_are_not_struck() -> None:
    strange = pod("vault-0", "1", "vault", namespace="somebody-else")
    dying = pod("vault-1", "2", "vault")
    dying.metadata.deletion_timestamp = "2026-01-01"
    with pytest.raises(ClusterError, match="none of its pods runs"):
        containers.find(site(strange, dying), "vault")


def test_a_killed_pod_is_proven_by_another_uid_and_only_that_pod_is_deleted() -> None:
    here = site(pod("vault-0", "old", "vault"))
    aimed = faults.KillPod("vault").aim(here)
    aimed.strike(here)
    ((name, options),) = here.core.deleted
    assert (name, options.preconditions.uid) == ("vault-0", "old")
    assert options.grace_period_seconds == 1
    assert aimed.took_effect(here) == ""  # still there
    here.core.pods = []
    assert "gone" in aimed.took_effect(here)
    here.core.pods = [pod("vault-0", "new", "vault")]
    assert "new" in aimed.took_effect(here)
    aimed.undo.perform(here)


def test_a_killed_container_is_proven_by_its_restarts() -> None:
    here = site(pod("vault-0", "1", "vault", restarts=2), cluster=Node(**{"vault-id": "RUNNING"}))
    aimed = faults.KillContainer("vault").aim(here)
    aimed.strike(here)
    assert here.cluster.asked == [("kill", "--all", "-s", "SIGKILL", "vault-id")]
    assert aimed.took_effect(here) == ""
    here.core.pods = [pod("vault-0", "1", "vault", restarts=3)]
    assert aimed.took_effect(here).endswith("restarts 2 → 3")


def test_an_unready_component_is_not_struck() -> None:
    ill = pod("vault-0", "1", "vault")
    ill.status.conditions[0].status = "False"
    with pytest.raises(ClusterError, match="no ready pod before the fault"):
        faults.KillPod("vault").aim(site(ill))
