"""A component's running containers, and the nodes they run on, for faults and probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kubernetes import client

from infraforge.components.site import Site
from infraforge.errors import ClusterError, Unable

_OURS = "infraforge-"
_LABELS = "app.kubernetes.io/part-of=infraforge,app.kubernetes.io/name"
"""Selects the platform's own pods: a probe's or an impostor's pod carries the name alone."""


@runtime_checkable
class OnNodes(Protocol):
    """A cluster that can run commands on its nodes."""

    def on_node(self, node: str, *argv: str) -> str: ...


@dataclass(frozen=True)
class Container:
    """One container of one pod, as last seen.

    name: the container's; container_id: containerd's own, without `containerd://`;
    restarts: the kubelet's count.
    """

    namespace: str
    pod: str
    uid: str
    node: str
    name: str
    container_id: str
    restarts: int

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.pod}"


def find(site: Site, component: str, name: str = "", *, in_pod: str = "") -> Container:
    """The component's running container (of its first pod by name).

    name: which container; by default the one named like the component, else the pod's first.
    in_pod: of this pod alone. Raises ClusterError where none runs.
    """
    for pod in pods(site, component):
        if in_pod and pod.metadata.name != in_pod:
            continue
        wanted = name or _main(pod, component)
        container = _running(pod, wanted)
        if container is not None:
            return container
    if in_pod:
        raise ClusterError(f"{component}: {in_pod} runs no container {name or component!r}")
    raise ClusterError(f"{component}: none of its pods runs a container {name or component!r}")


def pods(site: Site, component: str, *, dying: bool = False) -> Sequence[Any]:
    """The component's pods by name; pods that are being deleted only if `dying`."""
    try:
        listed: Any = site.core.list_pod_for_all_namespaces(label_selector=f"{_LABELS}={component}")
    except client.ApiException as error:
        raise ClusterError(f"the pods of {component} cannot be listed: {error.reason}") from error
    ours = [
        pod
        for pod in listed.items
        if pod.metadata.namespace.startswith(_OURS)
        and (dying or pod.metadata.deletion_timestamp is None)
    ]
    return sorted(ours, key=lambda pod: str(pod.metadata.name))


def pod(site: Site, namespace: str, name: str) -> Any:
    """The present state of the pod; None where there is none. Raises ClusterError."""
    try:
        return site.core.read_namespaced_pod(name, namespace)
    except client.ApiException as error:
        if error.status == 404:
            return None
        raise ClusterError(f"pod {namespace}/{name} cannot be read: {error.reason}") from error


def again(site: Site, container: Container) -> Container | None:
    """The container that now runs in this one's place; None while none runs."""
    successor = pod(site, container.namespace, container.pod)
    return None if successor is None else _running(successor, container.name)


def on_node(site: Site, node: str, *argv: str) -> str:
    """The output of a command run on a node. Raises Unable where nodes cannot be reached."""
    return nodes(site).on_node(node, *argv)


def nodes(site: Site) -> OnNodes:
    """The cluster as one that can run commands on nodes. Raises Unable where it cannot."""
    if not isinstance(site.cluster, OnNodes):
        raise Unable("needs access to the cluster's nodes, which a cluster you bring does not give")
    return site.cluster


def ctr(site: Site, node: str, *argv: str) -> str:
    """The output of containerd's own command on a node."""
    return on_node(site, node, "ctr", "--namespace=k8s.io", *argv)


def _main(pod: Any, component: str) -> str:
    names = [str(item.name) for item in pod.spec.containers]
    return component if component in names else names[0]


def _running(pod: Any, name: str) -> Container | None:
    for status in pod.status.container_statuses or ():
        if status.name == name and status.state.running is not None:
            return Container(
                namespace=pod.metadata.namespace,
                pod=pod.metadata.name,
                uid=pod.metadata.uid,
                node=pod.spec.node_name,
                name=name,
                container_id=str(status.container_id).rpartition("//")[2],
                restarts=int(status.restart_count),
            )
    return None
