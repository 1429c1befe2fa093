"""Who can be reached from inside the cluster, tested from short-lived pods.

A probe pod carries the labels it is told to, and is never ready, so that no Service routes traffic
to it. What it cannot find out is unknown, never "blocked".
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client

from infraforge.components import readiness
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.table import Cell, Table
from infraforge.wait import NotYet, wait_until

PROBE_LABEL = "infraforge.io/probe"
OPEN, BLOCKED = "open", "blocked"
_PROGRAM = Path(__file__).with_name("reach_pod.py")
_IMAGE_OF = ("infraforge-application", "app.kubernetes.io/name=backend")
_UID = 10001


@dataclass(frozen=True)
class Target:
    """A TCP port at a name that pods can resolve."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Source:
    """Where a probe pod runs, and the labels that a NetworkPolicy sees. name: in words."""

    name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reach:
    """The result. table: (source, target) → open, blocked or None; notes: reasons for None."""

    table: Table
    notes: tuple[str, ...]


def reach(
    site: Site, sources: Sequence[Source], targets: Sequence[Target], within: float = 90.0
) -> Reach:
    """Try every target from every source, all sources in parallel.

    within: seconds for one pod. Raises ClusterError when a pod cannot run or report.
    """
    image = python_image(site)
    with ThreadPoolExecutor(len(sources)) as pool:
        results = list(
            pool.map(lambda source: _from(site, source, targets, image, within), sources)
        )
    cells: dict[tuple[str, str], Cell] = {}
    notes = []
    for source, outcomes in zip(sources, results, strict=True):
        for target, (outcome, detail) in zip(targets, outcomes, strict=True):
            known = outcome in (OPEN, BLOCKED)
            cells[source.name, str(target)] = outcome if known else None
            if not known:
                notes.append(f"{source.name} → {target}: {outcome}: {detail}")
    return Reach(Table(cells), tuple(notes))


def read_outcomes(output: str, targets: Sequence[Target]) -> list[tuple[str, str]]:
    """(outcome, detail) for each target, parsed from a probe pod's output.

    Raises ClusterError for any other output.
    """
    try:
        outcomes = [(str(outcome), str(detail)) for outcome, detail in json.loads(output)]
    except (ValueError, TypeError) as error:
        raise ClusterError(f"the probe pod's output cannot be read: {output[-300:]!r}") from error
    if len(outcomes) != len(targets):
        raise ClusterError(f"the probe pod reported {len(outcomes)} targets, not {len(targets)}")
    return outcomes


def _from(
    site: Site, source: Source, targets: Sequence[Target], image: str, within: float
) -> list[tuple[str, str]]:
    pod = pod_for(source, targets, image)
    name = pod["metadata"]["name"]
    try:
        site.core.create_namespaced_pod(source.namespace, pod)
        output = wait_until(
            lambda: _said(site, source.namespace, name),
            within,
            every=0.5,
            what=f"the probe pod of {source.name} has ended",
            error=readiness.hopeless,
        )
        return read_outcomes(output, targets)
    except client.ApiException as error:
        message = f"the probe pod of {source.name} cannot run: {error.reason}: {error.body}"
        raise ClusterError(message) from error
    finally:
        _remove(site, source.namespace, name)


def pod_for(source: Source, targets: Sequence[Target], image: str) -> dict[str, Any]:
    """The probe pod: Pod Security `restricted`, no service account token, never ready."""
    wanted = json.dumps([[target.host, target.port] for target in targets])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"probe-{uuid.uuid4().hex[:10]}",
            "labels": {**source.labels, PROBE_LABEL: "reach"},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            # nobody ever sets it, so a Service with these labels does not route traffic here
            "readinessGates": [{"conditionType": "infraforge.io/never-ready"}],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _UID,
                "runAsGroup": _UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "reach",
                    "image": image,
                    "command": ["python3", "-c", _PROGRAM.read_text(), wanted],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "16Mi"},
                        "limits": {"cpu": "500m", "memory": "96Mi", "ephemeral-storage": "96Mi"},
                    },
                }
            ],
        },
    }


def python_image(site: Site) -> str:
    """An image with Python that the nodes already have: the running backend's own."""
    namespace, selector = _IMAGE_OF
    pods: Any = site.core.list_namespaced_pod(namespace, label_selector=selector)
    images = [pod.spec.containers[0].image for pod in pods.items if pod.status.phase == "Running"]
    if not images:
        raise ClusterError(
            "no backend pod runs, so its image with Python is not available; see: infraforge status"
        )
    return str(images[0])


def _said(site: Site, namespace: str, name: str) -> str:
    """The pod's output, once it has succeeded."""
    pod: Any = site.core.read_namespaced_pod(name, namespace)
    if pod.status.phase == "Succeeded":
        return site.output(namespace, name)
    if pod.status.phase == "Failed":
        output = site.output(namespace, name)[-300:]
        raise ClusterError(f"the probe pod failed: {pod.status.reason or ''} {output}")
    raise NotYet(readiness.pod_trouble(pod) or pod.status.phase)


def _remove(site: Site, namespace: str, name: str) -> None:
    try:
        site.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    except client.ApiException as error:
        if error.status != 404:
            raise ClusterError(
                f"probe pod {namespace}/{name} cannot be removed: {error.reason}"
            ) from error
