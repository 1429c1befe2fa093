"""The node below a member of PostgreSQL: paused, or its network cable pulled."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes import client

from infraforge.cluster import node_containers
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.kind import Kind
from infraforge.cluster.network import NODES
from infraforge.cluster.node_containers import NodeContainer
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Unable
from infraforge.faults import roles
from infraforge.faults.roles import AllStreaming, Role, Who
from infraforge.wait import wait_until


@dataclass(frozen=True)
class PauseNode:
    """Freeze the node that a member is on, with all that runs there, until it is undone.

    Its kernel still answers: connections to it are taken and never answered. While it is paused no
    command runs on it.
    """

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"pause the node of {roles.words(self.who)}"

    def aim(self, site: Site) -> NodePause:
        node = _node(site, self.who)
        return NodePause(Unpause(node.container_id, node.name, _back(site)))


@dataclass(frozen=True)
class NodePause:
    """A pause aimed at one node."""

    lasting: ClassVar[bool] = True
    undo: Unpause

    def strike(self, site: Site) -> None:
        docker("pause", self.undo.container_id)

    def took_effect(self, site: Site) -> str:
        status = _inspected(self.undo.container_id).status
        return f"{self.undo.node} is paused" if status == "paused" else ""


@dataclass(frozen=True)
class Unpause:
    """Let the node go on, and wait until it is ready and all members stream."""

    kind: ClassVar[str] = "unpause"
    container_id: str
    node: str
    back: Back

    @property
    def parameters(self) -> Mapping[str, str]:
        own = {"container_id": self.container_id, "node": self.node}
        return {**own, **self.back.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Unpause:
        back = Back.restored(parameters)
        return cls(parameters["container_id"], parameters["node"], back)

    def perform(self, site: Site) -> None:
        if _inspected(self.container_id).status == "paused":
            docker("unpause", self.container_id)
        self.back.wait(site, self.node)


@dataclass(frozen=True)
class CutNodeOff:
    """Take the node that a member is on off the nodes' network, until it is undone."""

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"cut the node of {roles.words(self.who)} off"

    def aim(self, site: Site) -> NodeCut:
        node = _node(site, self.who)
        if node.role == "control-plane":
            raise ClusterError(f"{node.name} is the control plane: nobody could see what follows")
        if not node.address:
            raise ClusterError(f"{node.name} is not on network {NODES} before the fault")
        aliases = _aliases(node)
        return NodeCut(PlugIn(node.container_id, node.name, node.address, aliases, _back(site)))


@dataclass(frozen=True)
class NodeCut:
    """A node about to be taken off the network."""

    lasting: ClassVar[bool] = True
    undo: PlugIn

    def strike(self, site: Site) -> None:
        docker("network", "disconnect", NODES, self.undo.container_id)

    def took_effect(self, site: Site) -> str:
        address = _inspected(self.undo.container_id).address
        return "" if address else f"{self.undo.node} has no address on network {NODES}"


@dataclass(frozen=True)
class PlugIn:
    """The node on its network again, at its former address, ready, and all members stream.

    At another one its kubelet, its certificate and the others' routes would not find each other.
    """

    kind: ClassVar[str] = "plug-in"
    container_id: str
    node: str
    address: str
    aliases: tuple[str, ...]
    back: Back

    @property
    def parameters(self) -> Mapping[str, str]:
        return {
            "container_id": self.container_id,
            "node": self.node,
            "address": self.address,
            "aliases": json.dumps(self.aliases),
            **self.back.parameters,
        }

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> PlugIn:
        return cls(
            parameters["container_id"],
            parameters["node"],
            parameters["address"],
            tuple(str(one) for one in json.loads(parameters["aliases"])),
            Back.restored(parameters),
        )

    def perform(self, site: Site) -> None:
        if not _inspected(self.container_id).address:
            self._connect()
        now = _inspected(self.container_id).address
        if now != self.address:
            # off again: the next try, or whoever frees the address, finds it as the fault left it
            docker("network", "disconnect", NODES, self.container_id)
            raise ClusterError(
                f"{self.node} came back at {now}, not {self.address}, and was taken off again; who "
                f"has that address now: docker network inspect {NODES}"
            )
        self.back.wait(site, self.node)

    def _connect(self) -> None:
        named = [word for alias in self.aliases for word in ("--alias", alias)]
        try:
            docker("network", "connect", "--ip", self.address, *named, NODES, self.container_id)
        except ClusterError:
            # Docker gives chosen addresses only in subnets that were chosen, too; else the lowest
            # that is free, which is the former one as long as nobody took it
            docker("network", "connect", *named, NODES, self.container_id)


@dataclass(frozen=True)
class Back:
    """How long a node may take to be ready again (seconds), and what is waited for after that."""

    within_node: float
    after: AllStreaming

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"within_node": str(self.within_node), **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Back:
        return cls(float(parameters["within_node"]), AllStreaming.restored(parameters))

    def wait(self, site: Site, node: str) -> None:
        """Raises TimedOut where it does not come back in time."""
        wait_until(
            lambda: ready(site, node),
            self.within_node,
            what=f"node {node} is ready again",
            every=1.0,
            ignoring=(ClusterError,),
        )
        self.after.perform(site)


def ready(site: Site, node: str) -> bool:
    """Whether the API server says so of the node. Raises ClusterError."""
    try:
        found: Any = site.core.read_node(node)
    except client.ApiException as error:
        raise ClusterError(f"node {node} cannot be read: {error.reason}") from error
    return any(one.type == "Ready" and one.status == "True" for one in found.status.conditions)


def _node(site: Site, who: Who) -> NodeContainer:
    """The container that is the member's node: one of our own."""
    if not isinstance(site.cluster, Kind):
        raise Unable("needs a way to stop the cluster's nodes; one that you bring gives none")
    wanted = roles.find(site, who).node
    ours = node_containers.find(site.cluster.name, site.cluster.folder)
    found = [node for node in ours if node.name == wanted]
    if not found:
        raise ClusterError(f"{wanted} is no node of cluster {site.cluster.name}")
    if found[0].status != "running":
        raise ClusterError(f"{wanted} is {found[0].status} before the fault")
    return found[0]


def _back(site: Site) -> Back:
    return Back(site.profile.budgets.cluster, AllStreaming.of(site))


def _inspected(container_id: str) -> NodeContainer:
    [found] = node_containers.inspect([container_id])
    return found


def _aliases(node: NodeContainer) -> tuple[str, ...]:
    """The names by which others find it on the network, beside its own and its id."""
    said: Sequence[Any] = json.loads(docker("inspect", "--type=container", node.container_id))
    with contextlib.suppress(KeyError, IndexError, TypeError):
        found = said[0]["NetworkSettings"]["Networks"][NODES]["Aliases"] or ()
        known = (node.name, node.container_id[:12])
        return tuple(str(one) for one in found if one not in known)
    return ()
