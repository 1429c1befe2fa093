"""Scaling to nothing and back, against simulated workloads and pods."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from infraforge import faults
from infraforge.components import readiness
from infraforge.errors import ClusterError, TimedOut
from infraforge.selftests.test_faults_containers import Pods, pod


class Workloads:
    """The API server's StatefulSets and Deployments by name; `asked`: what each was scaled to."""

    def __init__(self, **replicas: int) -> None:
        self.replicas = replicas
        self.asked: list[tuple[str, int]] = []

    def read_namespaced_stateful_set(self, name: str, namespace: str) -> Any:
        raise client.ApiException(status=404, reason="Not Found")

    def read_namespaced_deployment(self, name: str, namespace: str) -> Any:
        if name not in self.replicas:
            raise client.ApiException(status=404, reason="Not Found")
        return SimpleNamespace(spec=SimpleNamespace(replicas=self.replicas[name]))

    def patch_namespaced_deployment_scale(self, name: str, namespace: str, body: Any) -> None:
        assert namespace == "infraforge-application"
        self.asked.append((name, body["spec"]["replicas"]))

    patch_namespaced_stateful_set_scale = patch_namespaced_deployment_scale


def backend(name: str = "backend-a") -> Any:
    return pod(name, "1", "backend", namespace="infraforge-application")


def site(*pods: Any, **replicas: int) -> Any:
    profile = SimpleNamespace(budgets=SimpleNamespace(component=0.2))
    return SimpleNamespace(core=Pods(pods), apps=Workloads(**replicas), profile=profile)


def test_a_component_is_scaled_to_nothing_and_back_to_what_it_had() -> None:
    here = site(backend("backend-a"), backend("backend-b"), backend=2)
    aimed = faults.ScaledToNothing("backend").aim(here)
    aimed.strike(here)
    assert here.apps.asked == [("backend", 0)]
    assert [(name, options.grace_period_seconds) for name, options in here.core.deleted] == [
        ("backend-a", 1),
        ("backend-b", 1),
    ]
    here.core.pods = []
    assert aimed.took_effect(here) == "Deployment infraforge-application/backend has no pod"
    here.core.pods = [backend("backend-c"), backend("backend-d")]
    aimed.undo.perform(here)
    assert here.apps.asked[-1] == ("backend", 2)


def test_a_pod_on_its_way_out_is_still_there() -> None:
    dying = backend()
    here = site(dying, backend=1)
    aimed = faults.ScaledToNothing("backend").aim(here)
    dying.metadata.deletion_timestamp = "2026-01-01"
    assert aimed.took_effect(here) == ""


def test_a_pod_that_went_by_itself_is_no_error() -> None:
    here = site(backend(), backend=1)
    aimed = faults.ScaledToNothing("backend").aim(here)

    def gone(*_: object, **__: object) -> None:
        raise client.ApiException(status=404, reason="Not Found")

    here.core.delete_namespaced_pod = gone
    aimed.strike(here)


def test_the_undo_ends_when_all_pods_are_ready() -> None:
    undo = faults.Rescale("backend", "Deployment", "infraforge-application", 2, 0.2)
    here = site(backend(), backend=0)
    with pytest.raises(TimedOut, match="2 pods of backend are ready"):
        undo.perform(here)


def test_a_component_that_is_down_or_has_no_replicas_is_not_struck() -> None:
    with pytest.raises(ClusterError, match="no ready pod before the fault"):
        faults.ScaledToNothing("backend").aim(site(backend=1))
    with pytest.raises(ClusterError, match="is not a StatefulSet or Deployment"):
        faults.ScaledToNothing("backend").aim(site(backend()))


def test_a_workload_scaled_to_nothing_is_never_ready() -> None:
    """Else `up` would find nothing to do on a platform whose fault was not undone."""

    def found(replicas: int, **status: str) -> Any:
        counts = dict.fromkeys(("replicas", "ready_replicas", "updated_replicas"), replicas)
        return SimpleNamespace(
            metadata=SimpleNamespace(generation=1),
            spec=SimpleNamespace(replicas=replicas),
            status=SimpleNamespace(observed_generation=1, **counts, **status),
        )

    stateful = {"current_revision": "1", "update_revision": "1"}
    for status in ({}, stateful):
        assert readiness.workload_ready(found(1, **status))
        assert not readiness.workload_ready(found(0, **status))
