"""Find what is left of the platform on a cluster, whatever machine put it there, and remove it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubernetes import client, dynamic

from infraforge.cluster.apply import Applier, Reference
from infraforge.errors import TimedOut
from infraforge.wait import minutes, wait_until

_LABEL = "app.kubernetes.io/part-of=infraforge"
_PREFIX = "infraforge-"


def find(api: client.ApiClient) -> list[Reference]:
    """All that has the platform's label, volumes claimed from its namespaces, and the namespaces.

    Objects inside those namespaces are left out: they go with the namespace.
    """
    core = client.CoreV1Api(api)
    namespaces: Any = core.list_namespace(label_selector=_LABEL)
    ours = {item.metadata.name for item in namespaces.items}
    traces = {Reference("v1", "Namespace", "", name) for name in ours}
    traces |= {item for item in _labelled(api) if item.namespace not in ours}
    volumes: Any = core.list_persistent_volume()
    for volume in volumes.items:
        claim = volume.spec.claim_ref
        if claim and claim.namespace.startswith(_PREFIX):
            traces.add(Reference("v1", "PersistentVolume", "", volume.metadata.name))
    return sorted(traces)


def remove(api: client.ApiClient, within: float = minutes(5)) -> list[str]:
    """Remove all of it and wait until it is gone; what was removed, in words.

    Volumes are left to their provisioner. Raises TimedOut naming what remains.
    """
    removed = find(api)
    Applier(api).delete([item for item in removed if item.kind != "PersistentVolume"])

    def gone() -> bool:
        left = find(api)
        if left:
            raise TimedOut(f"still there: {', '.join(map(str, left))}")
        return True

    wait_until(gone, within, every=2.0, what="the platform is gone", ignoring=(TimedOut,))
    return [str(item) for item in removed]


def _labelled(api: client.ApiClient) -> Iterator[Reference]:
    """Labelled objects of every kind that the cluster serves and lets clients delete."""
    seen = set()
    for resource in dynamic.DynamicClient(api).resources.search():
        verbs = set(getattr(resource, "verbs", None) or ())
        if not {"list", "delete"} <= verbs or "/" in resource.name or resource.kind == "Event":
            continue
        if resource.kind.endswith("List") or (resource.group, resource.name) in seen:
            continue
        seen.add((resource.group, resource.name))
        try:
            listed = resource.get(label_selector=_LABEL)
        except (dynamic.exceptions.NotFoundError, dynamic.exceptions.MethodNotAllowedError):
            continue  # served by an API extension that is not there
        for item in listed.items:
            meta = item.metadata
            yield Reference(resource.group_version, resource.kind, meta.namespace or "", meta.name)
