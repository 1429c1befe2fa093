"""The state of a component, read from its workload and its pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from infraforge_platform_api import images

NAME = "app.kubernetes.io/name"
PART_OF = "app.kubernetes.io/part-of"
PLATFORM = "infraforge"
_PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


@dataclass(frozen=True)
class ContainerImage:
    """The image that one container should run, and the ones it does run.

    pinned: the digest in the manifest, empty where it names none; running: the distinct digests
    that its pods run.
    """

    container: str
    reference: str
    version: str
    pinned: str
    running: tuple[str, ...]


@dataclass(frozen=True)
class Replicas:
    """Numbers of pods: wanted, ready, and of the current revision."""

    wanted: int
    ready: int
    updated: int


@dataclass(frozen=True)
class Component:
    """One component as it is now.

    status: healthy, updating (all wanted pods are ready, and older ones are being replaced),
    degraded (some are ready), down (none is) or stopped (none is wanted). trouble: the reasons, in
    words; empty when healthy.
    """

    name: str
    namespace: str
    kind: str
    status: str
    replicas: Replicas
    restarts: int
    images: tuple[ContainerImage, ...]
    trouble: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path of its workload at the API server."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{_PLURALS[self.kind]}/{self.name}"

    @property
    def changing(self) -> bool:
        """Whether a rollout is under way."""
        return self.replicas.updated < self.replicas.wanted or self.status == "updating"

    def document(self, most: int | None, *, restart: bool) -> dict[str, object]:
        """The JSON document. most: the most replicas it may have; None if it may not be scaled."""
        scale = None if most is None else {"least": 1, "most": most}
        return {**asdict(self), "scale": scale, "restart": restart}


def of_platform(kind: str, workloads: Iterable[Any], pods: Sequence[Any]) -> list[Component]:
    """The platform's components among the workloads of one namespace."""
    found = []
    for workload in workloads:
        labels = workload["metadata"].get("labels") or {}
        if labels.get(PART_OF) == PLATFORM and labels.get(NAME) == workload["metadata"]["name"]:
            own = [pod for pod in pods if belongs(pod, labels[NAME])]
            found.append(component(kind, workload, own))
    return found


def component(kind: str, workload: Any, pods: Sequence[Any]) -> Component:
    """The component of one Deployment or StatefulSet and its pods."""
    meta, spec, status = workload["metadata"], workload["spec"], workload.get("status") or {}
    seen = status.get("observedGeneration", 0) >= meta.get("generation", 0)
    replicas = Replicas(
        wanted=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        updated=_updated(kind, status) if seen else 0,
    )
    living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    boxes = [
        box for pod in living for box in (pod.get("status") or {}).get("containerStatuses", ())
    ]
    word = _status(replicas, status.get("replicas", 0))
    return Component(
        name=meta["name"],
        namespace=meta["namespace"],
        kind=kind,
        status=word,
        replicas=replicas,
        restarts=sum(box.get("restartCount", 0) for box in boxes),
        images=tuple(_image(box, boxes) for box in spec["template"]["spec"]["containers"]),
        trouble=() if word == "healthy" else tuple(filter(None, map(_trouble, living))),
    )


def belongs(pod: Any, name: str) -> bool:
    """Whether the pod is one of the component's."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get(NAME) == name and labels.get(PART_OF) == PLATFORM


def _updated(kind: str, status: Any) -> int:
    if kind == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
        return int(status.get("replicas", 0))  # updatedReplicas is absent after a rollout
    return int(status.get("updatedReplicas", 0))


def _status(replicas: Replicas, present: int) -> str:
    if replicas.wanted == 0:
        return "stopped"
    if replicas.ready == 0:
        return "down"
    if replicas.ready < replicas.wanted:
        return "degraded"
    settled = replicas.updated == replicas.wanted == present
    return "healthy" if settled else "updating"


def _image(box: Any, statuses: Iterable[Any]) -> ContainerImage:
    reference = images.Reference.parse(box["image"])
    running = {
        images.running_digest(status.get("imageID", ""))
        for status in statuses
        if status["name"] == box["name"]
    }
    return ContainerImage(
        container=box["name"],
        reference=reference.name,
        version=reference.tag,
        pinned=reference.digest,
        running=tuple(sorted(running - {""})),
    )


def _trouble(pod: Any) -> str:
    """Why the pod is not ready, in words; empty when it is."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{name} cannot be scheduled: {condition.get('message', '')}"[:500]
    boxes = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    for box in boxes:
        state = box.get("state") or {}
        if "waiting" in state:
            return f"{name}/{box['name']}: {state['waiting'].get('reason', 'waits')}"[:500]
        if "terminated" in state and state["terminated"].get("exitCode"):
            return f"{name}/{box['name']} ended with {state['terminated']['exitCode']}"
        if "running" in state and not box.get("ready"):
            return f"{name}/{box['name']} runs and is not ready"
    return "" if boxes else f"{name} is pending"
