"""The names by which images run: a digest fixes the content, a tag can be moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError

BY_DIGEST = "by digest"


def of_pods(site: Site) -> Mapping[str, str]:
    """The image of every container of every pod, as named in the pods' specs.

    `namespace/pod container` → BY_DIGEST, or the name. Raises ClusterError where there are none.
    """
    listed: Any = site.core.list_pod_for_all_namespaces()
    names = named(listed.items)
    if not names:
        raise ClusterError("the cluster lists no pod, so there is no image to check")
    return names


def named(pods: Iterable[Any]) -> Mapping[str, str]:
    """`namespace/pod container` → BY_DIGEST, or the name, for these pods."""
    names = {}
    for pod in pods:
        spec = pod.spec
        boxes = [*(spec.init_containers or ()), *spec.containers]
        for box in (*boxes, *(spec.ephemeral_containers or ())):
            place = f"{pod.metadata.namespace}/{pod.metadata.name} {box.name}"
            names[place] = _by(str(box.image))
    return names


def of_nodes(site: Site) -> Mapping[str, str]:
    """Every container that containerd runs on the nodes, pod sandboxes included.

    `node image` → BY_DIGEST, or the name. Raises ClusterError where a node runs none.
    """
    nodes: Any = site.core.list_node()
    names: dict[str, str] = {}
    for node in nodes.items:
        name = str(node.metadata.name)
        images = _second_column(containers.ctr(site, name, "containers", "ls"))
        if not images:
            raise ClusterError(f"containerd on {name} lists no container")
        names |= {f"{name} {image}": _by(image) for image in images}
    return names


def _second_column(table: str) -> list[str]:
    rows = [line.split() for line in table.splitlines()[1:]]
    return [row[1] for row in rows if len(row) > 1]


def _by(image: str) -> str:
    """containerd knows some images by their content alone: `sha256:…`, without any name."""
    return BY_DIGEST if "sha256:" in image else image
