"""Stop all containers of a cluster and start them in another order, as a reboot might."""

from __future__ import annotations

from collections.abc import Sequence

from infraforge.cluster import node_containers
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.kind import Kind
from infraforge.cluster.node_containers import NodeContainer
from infraforge.cluster.registry import ours


def machines(cluster: Kind) -> list[NodeContainer]:
    """Nodes and registry, by address. Raises ClusterError where Docker does not answer."""
    containers = [
        *node_containers.find(cluster.name, cluster.folder),
        *node_containers.inspect(ours()),
    ]
    return sorted(containers, key=lambda one: [int(n) for n in one.address.split(".") if n])


def in_another_order(containers: Sequence[NodeContainer]) -> list[NodeContainer]:
    """A start order in which no container gets its former address back.

    Docker gives the lowest free address to each container that starts, so each starts one place
    earlier than before. Containers without an address in the nodes' network come last.
    """
    there = [one for one in containers if one.address]
    return [*there[1:], *there[:1], *(one for one in containers if not one.address)]


def restart(containers: Sequence[NodeContainer]) -> None:
    """Stop them all; start them in this order. Raises ClusterError with Docker's message."""
    docker("stop", *(one.container_id for one in containers))
    for one in containers:
        docker("start", one.container_id)
