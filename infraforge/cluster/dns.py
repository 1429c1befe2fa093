"""CoreDNS on every node, asked by the pods of that node: none is a single point of failure.

kubeadm sets up two pods behind one Service. With one of them on a node that is away, half of all
look-ups wait five seconds until the node is known to be away (about 50 s), and whatever resolves a
name on its way to a failover waits with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from infraforge.cluster.base import Cluster
from infraforge.errors import ClusterError
from infraforge.wait import wait_until

_NAMESPACE = "kube-system"
_DEPLOYMENT = "coredns"
_SERVICE = "kube-dns"
FOLDER = "coredns"


def on_every_node(cluster: Cluster, tree: Path, within: float) -> None:
    """Return once each node has a resolver that is ready and is the one its pods ask.

    The Service turns to the own node's only after that. Raises TimedOut naming how many are there,
    ClusterError where kubeadm's objects cannot be changed.
    """
    core, apps = client.CoreV1Api(cluster.api), client.AppsV1Api(cluster.api)
    nodes = len(core.list_node().items)
    change = _read(tree, "deployment.yaml")
    change["spec"]["replicas"] = nodes
    try:
        apps.patch_namespaced_deployment(_DEPLOYMENT, _NAMESPACE, change)
        wait_until(
            lambda: _where(apps, core, nodes) == nodes,
            within,
            every=0.5,
            what=f"CoreDNS is ready on each of {nodes} nodes",
        )
        core.patch_namespaced_service(_SERVICE, _NAMESPACE, _read(tree, "service.yaml"))
    except client.ApiException as error:
        raise ClusterError(f"CoreDNS cannot be put on every node: {error.reason}") from error


def _where(apps: client.AppsV1Api, core: client.CoreV1Api, nodes: int) -> int:
    """On how many nodes it is ready as it should be; 0 while the change is not taken up."""
    found: Any = apps.read_namespaced_deployment(_DEPLOYMENT, _NAMESPACE)
    status = found.status
    current = (status.observed_generation or 0) >= found.metadata.generation
    if not current or (status.updated_replicas or 0) != nodes:
        return 0
    pods: Any = core.list_namespaced_pod(_NAMESPACE, label_selector="k8s-app=kube-dns")
    return len(
        {
            pod.spec.node_name
            for pod in pods.items
            if pod.metadata.deletion_timestamp is None
            and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
        }
    )


def _read(tree: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((tree / "cluster" / FOLDER / name).read_text())
    return found
