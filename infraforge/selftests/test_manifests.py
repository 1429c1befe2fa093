"""What every pod of the platform declares: limits for all resources, and two different probes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

TREE = Path(__file__).parents[2] / "platform"
_WHAT = {"cpu", "memory", "ephemeral-storage"}
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod")


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in ("components", "cluster"):
        for path in sorted((TREE / folder).rglob("*.yaml")):
            if "overlays" in path.parts:  # parts of objects: see test_overlays
                continue
            for document in yaml.safe_load_all(path.read_text()):
                if isinstance(document, dict) and document.get("kind") in _WITH_PODS:
                    yield (
                        f"{path.relative_to(TREE)} {document['metadata'].get('name', '')}",
                        document,
                    )


def pod_spec(found: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = found["spec"]
    return spec if found["kind"] == "Pod" else dict(spec["template"]["spec"])


PODS = {name: pod_spec(found) for name, found in objects()}
CONTAINERS = {
    f"{name} {container['name']}": container
    for name, spec in PODS.items()
    for container in (*spec.get("initContainers", ()), *spec["containers"])
}


def test_the_manifests_contain_pods() -> None:
    assert len(PODS) >= 16
    assert len(CONTAINERS) > len(PODS)


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_states_what_it_needs_and_may_use(name: str) -> None:
    resources = CONTAINERS[name].get("resources", {})
    assert resources.get("requests", {}).keys() >= _WHAT
    assert resources.get("limits", {}).keys() >= _WHAT


@pytest.mark.parametrize("name", PODS)
def test_every_empty_dir_has_a_size_limit(name: str) -> None:
    for volume in PODS[name].get("volumes", ()):
        if "emptyDir" in volume:
            assert (volume["emptyDir"] or {}).get("sizeLimit"), volume["name"]


# Cilium's operator has one address for both questions, whoever asks.
@pytest.mark.parametrize(
    "name",
    [n for n, c in CONTAINERS.items() if "readinessProbe" in c and "cilium-operator" not in n],
)
def test_alive_and_ready_are_two_questions(name: str) -> None:
    """What is not ready is left alone, what is not alive is restarted: no answer can be both."""
    container = CONTAINERS[name]
    assert asked(container["readinessProbe"]) != asked(container["livenessProbe"])


def asked(probe: dict[str, Any]) -> dict[str, Any]:
    how = {key: value for key, value in probe.items() if key in ("httpGet", "exec", "tcpSocket")}
    assert how
    return how
