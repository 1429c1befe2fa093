"""Everything stops and starts again in another order, as in a reboot of the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infraforge.cluster import node_containers, reboot
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.kind import Kind
from infraforge.cluster.node_containers import NodeContainer
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Unable


@dataclass(frozen=True)
class Restart:
    """Stop all nodes and the registry, and start them so that each gets another address."""

    def describe(self) -> str:
        return "restart all nodes and the registry in another order"

    def aim(self, site: Site) -> Reboot:
        cluster = _kind(site)
        containers = reboot.machines(cluster)
        still = [one.name for one in containers if one.status != "running"]
        if still:
            raise ClusterError(
                f"{', '.join(still)} was not running before the fault; run: infraforge up"
            )
        return Reboot(
            tuple(reboot.in_another_order(containers)),
            Started(site.profile.budgets.cluster, tuple(one.container_id for one in containers)),
        )


@dataclass(frozen=True)
class Reboot:
    """A restart of these containers, in this order."""

    lasting: ClassVar[bool] = False
    machines: Sequence[NodeContainer]
    undo: Started

    def strike(self, site: Site) -> None:
        reboot.restart(self.machines)

    def took_effect(self, site: Site) -> str:
        asked = [one.container_id for one in self.machines]
        now = {one.container_id: one for one in node_containers.inspect(asked)}
        pairs = [(was, now[was.container_id]) for was in self.machines]
        if any(after.status != "running" or after.started <= was.started for was, after in pairs):
            return ""
        # a control plane that keeps its address would prove little
        if any(w.address == a.address for w, a in pairs if w.role == "control-plane"):
            return ""
        return ", ".join(f"{was.name} {was.address} → {after.address}" for was, after in pairs)


@dataclass(frozen=True)
class Started:
    """All containers run, and the API server answers within `within` seconds."""

    kind: ClassVar[str] = "started"
    within: float
    container_ids: tuple[str, ...]

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"within": str(self.within), "container_ids": json.dumps(self.container_ids)}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Started:
        container_ids = json.loads(parameters["container_ids"])
        return cls(float(parameters["within"]), tuple(str(one) for one in container_ids))

    def perform(self, site: Site) -> None:
        there = set(docker("ps", "--all", "--quiet", "--no-trunc").split())
        for one in self.container_ids:
            if one in there:  # the registry may have been replaced; `wake` reports missing nodes
                docker("start", one)  # does nothing where it runs
        _kind(site).wake(self.within, lambda _line: None)


def _kind(site: Site) -> Kind:
    if not isinstance(site.cluster, Kind):
        raise Unable("needs to restart the cluster's nodes, which a cluster you bring forbids")
    return site.cluster
