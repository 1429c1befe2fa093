"""Whether workloads and pods are ready, and in words why they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubernetes import client

_LOG_LINES = 15
_NEVER = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")


def workload_ready(found: Any) -> bool:
    """Whether all replicas of the present generation are ready, and no older one is left.

    Never where there are to be none: then somebody has scaled it to nothing.
    """
    status, spec = found.status, found.spec
    if (status.observed_generation or 0) < found.metadata.generation:
        return False
    if hasattr(status, "number_ready"):  # a DaemonSet
        return (status.number_ready or 0) >= (status.desired_number_scheduled or 0)
    updated = status.updated_replicas or 0
    if hasattr(status, "update_revision"):  # a StatefulSet
        updated = status.replicas if status.current_revision == status.update_revision else updated
    wanted = spec.replicas
    return bool(wanted) and (
        (status.ready_replicas or 0) == wanted == (updated or 0) == (status.replicas or 0)
    )


def runs(found: Any, pods: Sequence[Any]) -> bool:
    """All replicas of the present generation have their containers running."""
    if (found.status.observed_generation or 0) < found.metadata.generation:
        return False
    running = [
        pod
        for pod in pods
        if pod.status.container_statuses
        and all(box.state.running for box in pod.status.container_statuses)
    ]
    return len(running) >= (getattr(found.spec, "replicas", None) or 1)


def pod_trouble(pod: Any) -> str:
    """Why the pod is not ready, in words; "" when it is."""
    name, status = pod.metadata.name, pod.status
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{name} cannot be scheduled: {condition.message}"
    for box in (*(status.init_container_statuses or ()), *(status.container_statuses or ())):
        state, last = box.state, box.last_state
        if state.waiting and state.waiting.reason not in ("PodInitializing", "ContainerCreating"):
            text = f"{name}/{box.name}: {state.waiting.reason}: {state.waiting.message or ''}"
            if last and last.terminated:
                text += f" (ended with {last.terminated.exit_code}, {last.terminated.reason})"
            return text.rstrip(": ")
        if state.waiting:
            return f"{name}/{box.name}: {state.waiting.reason}"
        if state.running and not box.ready:
            return f"{name}/{box.name} runs, but its readiness probe fails"
    if status.phase == "Pending" and not status.container_statuses:
        return f"{name} is pending: no container was begun"
    return ""


def hopeless(seen: object) -> str:
    """For `wait_until`: why a pod in this trouble never starts, however long one waits; else ""."""
    never = next((reason for reason in _NEVER if reason in str(seen)), "")
    return f"a pod with {never} does not start by itself" if never else ""


def warnings(
    core: client.CoreV1Api, namespace: str, component: str, pods: Sequence[Any]
) -> list[str]:
    """Latest warnings about these pods, and the component's volumes and workloads, each once."""
    present = {pod.metadata.name for pod in pods}
    found: Any = core.list_namespaced_event(namespace, field_selector="type=Warning")
    told = [
        f"{event.involved_object.name}: {event.reason}: {event.message}"
        for event in found.items
        if event.involved_object.name in present
        or (event.involved_object.kind != "Pod" and component in event.involved_object.name)
    ]
    return list(dict.fromkeys(told))[-5:]


def last_lines(core: client.CoreV1Api, pod: Any) -> list[str]:
    """What containers of the pod that are not ready said last."""
    lines = []
    for box in pod.status.container_statuses or ():
        if box.ready:
            continue
        crashed = bool(box.restart_count and not box.state.running)
        try:
            answer: Any = core.read_namespaced_pod_log(
                pod.metadata.name,
                pod.metadata.namespace,
                container=box.name,
                tail_lines=_LOG_LINES,
                previous=crashed,
                _preload_content=False,
            )
        except client.ApiException:
            continue  # it has said nothing yet
        text = answer.data.decode("utf-8", "replace")
        lines += [f"{pod.metadata.name}/{box.name}: {line}" for line in text.splitlines()]
    return lines[-_LOG_LINES:]
