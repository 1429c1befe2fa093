"""All containers of a cluster's, stopped and started in another order, as after a reboot."""

from __future__ import annotations

from collections.abc import Sequence

from infraforge.cluster import node_containers
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.kind import Kind
from infraforge.cluster.node_containers import NodeContainer
from infraforge.cluster.registry import ours


def machines(cluster: Kind) -> list[NodeContainer]:
    """Nodes and registry, by their addresses. Raises ClusterError where Docker does not say."""
    found = [*node_containers.find(cluster.name, cluster.folder), *node_containers.inspect(ours())]
    return sorted(found, key=lambda one: [int(n) for n in one.address.split(".") if n])


def in_another_order(found: Sequence[NodeContainer]) -> list[NodeContainer]:
    """The order of starting in which none gets its former address.

    Docker gives the lowest free one to each that starts: so each begins one place earlier. What has
    no address in the nodes' network takes none away, and comes last.
    """
    there = [one for one in found if one.address]
    return [*there[1:], *there[:1], *(one for one in found if not one.address)]


def restart(found: Sequence[NodeContainer]) -> None:
    """Stop them all; start them in this order. Raises ClusterError with Docker's words."""
    docker("stop", *(one.container_id for one in found))
    for one in found:
        docker("start", one.container_id)
