"""A restart of everything stops our nodes and registry, and no other container."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge.cluster import node_containers, reboot, registry
from infraforge.faults.restart import Started


def described(name: str, address: str, network: str = "kind", folder: str = "") -> dict[str, Any]:
    return {
        "Id": f"id-of-{name}",
        "Name": f"/{name}",
        "Config": {"Labels": {"io.x-k8s.kind.cluster": "mine"} if folder else {}},
        "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00.0Z"},
        "NetworkSettings": {"Networks": {network: {"IPAddress": address}}},
        "HostConfig": {"Binds": [f"{folder}/certs.d:/etc/containerd/certs.d"] if folder else []},
    }


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """A Docker with a node, both registries, and what somebody runs from an image of ours."""
    folder = str(tmp_path / "mine")
    there = {
        "mine-control-plane": described("mine-control-plane", "172.18.0.3", folder=folder),
        registry.READER.container: described(registry.READER.container, "172.18.0.2"),
        registry.WRITER.container: described(
            registry.WRITER.container, "172.19.0.2", registry.WRITER.network
        ),
        "somebodys": described("somebodys", "172.18.0.4"),
    }
    labels = {one.container: one.label for one in registry.LISTENERS} | {"somebodys": "image"}
    asked: list[tuple[str, ...]] = []

    def answer(*argv: str, check: bool = True) -> str:
        asked.append(argv)
        if argv[0] == "inspect":
            names = [word for word in argv[1:] if not word.startswith("-")]
            return json.dumps([there[name.removeprefix("id-of-")] for name in names])
        if argv[:3] == ("ps", "--all", "--quiet"):
            return "\n".join(one["Id"] for one in there.values())
        if argv[0] == "ps":
            wanted = [word for word in argv if word.startswith("name=")]
            if wanted:
                name = wanted[0].removeprefix("name=^/").removesuffix("$")
                return f"<{labels[name]}>" if name in labels else ""
            return "id-of-mine-control-plane"
        return ""

    for module in (registry, node_containers, reboot):
        monkeypatch.setattr(module, "docker", answer)
    monkeypatch.setattr("infraforge.faults.restart.docker", answer)
    return asked


def test_only_nodes_and_registry_are_restarted_and_nodes_get_other_addresses(
    docker: list[tuple[str, ...]], tmp_path: Path
) -> None:
    cluster: Any = SimpleNamespace(name="mine", folder=tmp_path / "mine")
    machines = reboot.machines(cluster)
    assert {one.container_id for one in machines} == {
        "id-of-mine-control-plane",
        f"id-of-{registry.READER.container}",
        f"id-of-{registry.WRITER.container}",
    }
    order = [one.container_id for one in reboot.in_another_order(machines)]
    assert order == [
        "id-of-mine-control-plane",  # the lowest address was the registry's
        f"id-of-{registry.READER.container}",
        f"id-of-{registry.WRITER.container}",
    ]
    reboot.restart(reboot.in_another_order(machines))
    touched = {word for argv in docker if argv[0] in ("stop", "start") for word in argv[1:]}
    assert touched == set(order)


def test_the_undo_starts_the_existing_containers(
    docker: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[float] = []
    cluster: Any = SimpleNamespace(wake=lambda within, _say: woken.append(within))
    monkeypatch.setattr("infraforge.faults.restart._kind", lambda _site: cluster)
    Started(60.0, ("id-of-mine-control-plane", "replaced meanwhile")).perform(SimpleNamespace())  # type: ignore[arg-type]
    assert [argv for argv in docker if argv[0] == "start"] == [
        ("start", "id-of-mine-control-plane")
    ]
    assert woken == [60.0]
