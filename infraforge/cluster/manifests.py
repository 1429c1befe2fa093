"""Manifests: rendered by kustomize, then patched as parsed objects, never as text.

The manifests that a platform engineer applies by hand (`kubectl apply -k
platform/components/NAME`) and those that the harness applies differ only by the patches below.
"""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from infraforge.errors import UsageError

Object = dict[str, Any]
"""One Kubernetes object as parsed from YAML."""

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
API_SERVER_LABEL = "infraforge.io/api-server"
NODE_NETWORK_LABEL = "infraforge.io/node-network"
_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS = {
    "Pod": ("spec",),
    **dict.fromkeys((*WORKLOADS, "Job", "ReplicaSet", "ReplicationController"), _TEMPLATE),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
}
"""Kinds that create pods: kind → where the pod's spec is."""
_LAST = {"Deployment": 1, "StatefulSet": 1, "DaemonSet": 1}


def render(kubectl: Path, folder: Path) -> list[Object]:
    """The objects of one kustomize folder, workloads last.

    Raises UsageError with kustomize's own message when the folder cannot be rendered.
    """
    done = subprocess.run(
        [str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UsageError(f"{folder} cannot be rendered: {done.stderr.strip()}")
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    return sorted(objects, key=lambda item: _LAST.get(item["kind"], 0))


def pin_images(objects: Sequence[Object], digests: Mapping[str, str]) -> list[Object]:
    """The same objects with every known image `repo:tag` followed by its `@sha256:…`.

    A pod manifest inside a ConfigMap is pinned as well: a controller makes pods from it.
    digests: canonical reference `repo:tag` → `sha256:…`.
    """
    pinned = [copy.deepcopy(item) for item in objects]
    for item in pinned:
        for container in containers(item):
            digest = digests.get(container["image"])
            if digest:
                container["image"] = f"{container['image']}@{digest}"
        for key, pod in _pods_within(item):
            [inner] = pin_images([pod], digests)
            item["data"][key] = yaml.safe_dump(inner, sort_keys=False)
    return pinned


def unpinned(objects: Sequence[Object]) -> list[str]:
    """Images named by a tag alone: whoever moves the tag changes what runs."""
    pods = [pod for item in objects for _, pod in _pods_within(item)]
    images = (box["image"] for item in [*objects, *pods] for box in containers(item))
    return sorted({image for image in images if "@sha256:" not in image})


def move_images(objects: Sequence[Object], here: str, there: str) -> list[Object]:
    """The same objects with images `HERE/…` taken from `THERE/…`."""
    moved = [copy.deepcopy(item) for item in objects]
    for item in moved:
        for container in containers(item):
            if container["image"].startswith(f"{here}/"):
                container["image"] = there + container["image"].removeprefix(here)
    return moved


def annotate_pods(objects: Sequence[Object], annotations: Mapping[str, str]) -> list[Object]:
    """The same objects with annotations on each pod template: a new value replaces the pods."""
    changed = [copy.deepcopy(item) for item in objects]
    for item in changed:
        if item["kind"] in WORKLOADS:
            meta = item["spec"]["template"]["metadata"]
            meta["annotations"] = {**meta.get("annotations", {}), **annotations}
    return changed


def set_replicas(objects: Sequence[Object], replicas: int) -> list[Object]:
    """The same objects with `replicas` set on each Deployment and StatefulSet."""
    changed = [copy.deepcopy(item) for item in objects]
    for item in changed:
        if item["kind"] in ("Deployment", "StatefulSet"):
            item["spec"]["replicas"] = replicas
    return changed


def allow_node_networks(objects: Sequence[Object], cidrs: Sequence[str]) -> list[Object]:
    """The same objects, with the nodes' networks added to policies labelled as needing them.

    `0.0.0.0/0` in an ipBlock does not match nodes under every CNI, and the API server runs on
    a node, so policies labelled for the API server get the nodes' networks as well. Policies
    labelled for a peer beside the nodes (the registry) get those networks only. The networks
    are only known once the cluster exists.
    """
    blocks = [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]
    changed = [copy.deepcopy(item) for item in objects]
    for item in changed:
        labels = item["metadata"].get("labels", {})
        beside = labels.get(NODE_NETWORK_LABEL) == "true"
        if item["kind"] != "NetworkPolicy" or not (
            beside or labels.get(API_SERVER_LABEL) == "true"
        ):
            continue
        for rule in item["spec"].get("egress", []):
            if any("ipBlock" in peer for peer in rule.get("to", [])):
                rule["to"] = blocks if beside else [*rule["to"], *blocks]
    return changed


def keep_to(objects: Sequence[Object], label: str) -> list[Object]:
    """The same objects; pods that would rather be on a node with this label must be on one.

    A wish does not hold where replicas are spread over nodes, too: the pod that replaces another
    one goes to another node while the first is still there. label: "" changes nothing.
    """
    changed = [copy.deepcopy(item) for item in objects]
    wanted = {"key": label, "operator": "Exists"}
    for item in changed:
        affinity = _pod_spec(item).get("affinity", {}).get("nodeAffinity", {})
        wishes = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        if label and any(
            wanted in wish["preference"].get("matchExpressions", ()) for wish in wishes
        ):
            terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
            affinity["requiredDuringSchedulingIgnoredDuringExecution"] = terms
    return changed


def containers(item: Object) -> Iterator[dict[str, Any]]:
    """Every container and init container of a pod or of a kind that creates pods; else nothing."""
    spec = _pod_spec(item)
    yield from spec.get("initContainers") or []
    yield from spec.get("containers") or []


def _pod_spec(item: Object) -> dict[str, Any]:
    """Of a pod or of a kind that creates pods; empty for any other."""
    if item["kind"] not in _POD_SPECS:
        return {}
    spec = item
    for part in _POD_SPECS[item["kind"]]:
        spec = spec[part]
    return spec


def _pods_within(item: Object) -> Iterator[tuple[str, Object]]:
    """Pod manifests held in a ConfigMap, with their keys."""
    if item["kind"] != "ConfigMap":
        return
    for key, text in (item.get("data") or {}).items():
        if key.endswith(("Pod.yaml", "pod.yaml")):
            yield key, yaml.safe_load(text)


def digest(objects: Sequence[Object], *more: str) -> str:
    """sha256 hex over the objects' canonical JSON and any further text."""
    text = json.dumps(objects, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256("\0".join((text, *more)).encode()).hexdigest()
