"""On which nodes, and in which zones, a component's pods are, and what keeps them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError

_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, order=True)
class Place:
    """A pod's. zone: "" where its node is in none."""

    pod: str
    node: str
    zone: str


@dataclass(frozen=True)
class Placement:
    """apart_by: node labels whose values no two pods may share; spread_over: those over whose
    values they must be spread evenly. What is merely preferred counts for neither.
    """

    places: tuple[Place, ...]
    apart_by: tuple[str, ...]
    spread_over: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{place.pod}: node {place.node}, zone {place.zone or '-'}" for place in self.places
        ]
        return "\n".join([*lines, f"apart by {self.apart_by}, spread over {self.spread_over}"])


def of(site: Site, component: str) -> Placement:
    """As it is now. Raises ClusterError where there is no pod of it, or nobody says where."""
    pods = containers.pods(site, component)
    if not pods:
        raise ClusterError(f"there is no pod of {component}")
    try:
        listed: Any = site.core.list_node()
    except client.ApiException as error:
        raise ClusterError(f"the nodes cannot be listed: {error.reason}") from error
    zones = {
        node.metadata.name: (node.metadata.labels or {}).get(_ZONE, "") for node in listed.items
    }
    places = [
        Place(str(p.metadata.name), str(p.spec.node_name), str(zones.get(p.spec.node_name, "")))
        for p in pods
    ]
    per_pod = [(_apart(pod.spec), _spread(pod.spec)) for pod in pods]
    return Placement(
        tuple(sorted(places)),
        tuple(sorted(set.intersection(*(apart for apart, _ in per_pod)))),
        tuple(sorted(set.intersection(*(spread for _, spread in per_pod)))),
    )


def _apart(spec: Any) -> set[str]:
    rule = spec.affinity and spec.affinity.pod_anti_affinity
    terms: Sequence[Any] = (
        rule.required_during_scheduling_ignored_during_execution if rule else None
    ) or ()
    return {str(term.topology_key) for term in terms}


def _spread(spec: Any) -> set[str]:
    return {
        str(one.topology_key)
        for one in spec.topology_spread_constraints or ()
        if one.when_unsatisfiable == "DoNotSchedule"
    }
