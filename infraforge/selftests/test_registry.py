"""The local registry against a stand-in docker: read-only for nodes, writable for this machine."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infraforge.cluster import network, pki, registry
from infraforge.cluster.registry import READER, WRITER
from infraforge.errors import UsageError
from infraforge.stack import TREE

IMAGE = "infraforge/registry:1"
FAKE = """#!{python}
import json, pathlib, sys
place = pathlib.Path({world!r})
world = json.loads(place.read_text())
argv = sys.argv[1:]
world["calls"].append(argv)
place.write_text(json.dumps(world))
def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)
def options(name):
    long = [a.split("=", 1)[1] for a in argv if a.startswith("--" + name + "=")]
    return long + [argv[n + 1] for n, a in enumerate(argv) if a == "--" + name]
def labels():
    return dict(l.split("=", 1) for l in options("label"))
if world["silent"]:
    fail("Cannot connect to the Docker daemon")
boxes, networks = world["boxes"], world["networks"]
if argv[0] == "run":
    name = options("name")[0]
    if name in boxes:
        fail("name in use")
    boxes[name] = dict(labels=labels(), argv=argv, running=True, image=argv[-1])
elif argv[0] == "rm":
    boxes.pop(argv[-1], None) or fail("no such container")
elif argv[0] == "ps":
    [wanted] = options("filter")
    if wanted == "label=infraforge.started-as":
        for name, box in boxes.items():
            print(name, box["labels"]["infraforge.started-as"])
    elif wanted.startswith("label="):
        print("\\n".join(b["image"] for b in boxes.values() if wanted[6:] in b["labels"]))
    else:
        name = wanted.removeprefix("name=^/").rstrip("$")
        if name in boxes:
            print("<" + boxes[name]["labels"].get("infraforge", "") + ">")
elif argv[0] == "inspect":
    box = boxes.get(argv[-1]) or fail("no such container")
    print(str(box["running"]).lower(), box["labels"].get("infraforge.started-as", ""))
elif argv[:2] == ["network", "ls"]:
    name = options("filter")[0].removeprefix("name=^").rstrip("$")
    if name in networks:
        print("<" + networks[name] + ">")
elif argv[:2] == ["network", "create"]:
    networks[argv[-1]] = labels()["infraforge"]
elif argv[:2] == ["network", "rm"]:
    networks.pop(argv[-1])
elif argv[:2] == ["network", "inspect"]:
    print(0, networks[argv[-1]]) if argv[-1] in networks else fail("no such network")
else:
    fail("what is " + argv[0])
place.write_text(json.dumps(world))
"""


class World:
    """What the stand-in docker holds."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.write(calls=[], boxes={}, networks={}, silent=False)

    def write(self, **what: Any) -> None:
        known = json.loads(self.place.read_text()) if self.place.exists() else {}
        self.place.write_text(json.dumps(known | what))

    def __getitem__(self, key: str) -> Any:
        return json.loads(self.place.read_text())[key]

    def did(self, verb: str) -> list[str]:
        """To which containers it was done."""
        calls = [call for call in self["calls"] if call[0] == verb]
        named = [[a for a in call if a.startswith("--name=")] or [call[-1]] for call in calls]
        return [names[0].removeprefix("--name=") for names in named]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine with docker and nothing on it; a container that runs answers."""
    made = World(tmp_path / "world.json")
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable, world=str(made.place)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_answers", lambda one, _ca: one.container in made["boxes"])
    monkeypatch.setattr(registry, "_taken", lambda _port: False)
    return made


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.load_or_create(tmp_path / "ca")


def mounted(box: Mapping[str, Any], at: str) -> str:
    """The mount's options: "", or ":ro"."""
    [found] = [a for a in box["argv"] if a.startswith("--volume=") and f":{at}" in a]
    return str(found.partition(at)[2])


def test_nodes_get_a_reader_and_the_machine_a_writer_of_the_same_data(
    world: World, authority: pki.Authority
) -> None:
    registry.ensure(IMAGE, authority, TREE)
    boxes = world["boxes"]
    assert set(boxes) == {READER.container, WRITER.container}
    reader, writer = boxes[READER.container]["argv"], boxes[WRITER.container]["argv"]
    assert "--network=kind" in reader
    assert "--publish=127.0.0.1::5000" in reader
    assert f"--network={WRITER.network}" in writer
    assert WRITER.network not in ("kind", "bridge", "host")
    assert "--publish=127.0.0.1:5001:5000" in writer
    assert mounted(boxes[READER.container], "/var/lib/registry") == ":ro"
    assert mounted(boxes[WRITER.container], "/var/lib/registry") == ""
    keys = {(one.folder / "tls.key").read_text() for one in (READER, WRITER)}
    assert len(keys) == 2, "whoever reads the one key must not pass for the other"


def test_the_readers_configuration_refuses_pushes_and_the_writers_does_not() -> None:
    texts = {
        one: (TREE / "cluster" / "registry" / one.configuration).read_text()
        for one in (READER, WRITER)
    }
    assert registry._reads_only(texts[READER])
    assert not registry._reads_only(texts[WRITER])


def test_what_runs_as_it_should_is_left_alone(world: World, authority: pki.Authority) -> None:
    registry.ensure(IMAGE, authority, TREE)
    world.write(calls=[])
    before = registry.started_as()
    registry.ensure(IMAGE, authority, TREE)
    assert registry.started_as() == before
    assert world.did("run") == world.did("rm") == []


def test_the_one_container_of_a_former_version_is_replaced(
    world: World, authority: pki.Authority, tmp_path: Path
) -> None:
    """It has our label, its image and a good certificate; yet it takes pushes from nodes."""
    former = tmp_path / "state" / "registry"
    former.mkdir(parents=True)
    (former / "tls.key").write_text("a key that nodes met")
    old = {"labels": {"infraforge": "registry"}, "argv": [], "running": True, "image": IMAGE}
    world.write(boxes={registry.NAME: old}, networks={"kind": "network"})
    registry.ensure(IMAGE, authority, TREE)
    assert world.did("rm") == [registry.NAME]
    assert world.did("run") == [WRITER.container, READER.container]
    calls = [call[0] for call in world["calls"]]
    assert calls.index("rm") < calls.index("run"), "it holds the port that the writer needs"
    assert not (former / "tls.key").exists()


@pytest.mark.parametrize("what", ["image", "configuration", "certificate", "stopped"])
def test_what_is_not_as_it_should_be_is_replaced(
    world: World, authority: pki.Authority, tmp_path: Path, what: str
) -> None:
    registry.ensure(IMAGE, authority, TREE)
    world.write(calls=[])
    image, tree = IMAGE, TREE
    if what == "image":
        image = "infraforge/registry:2"
    elif what == "configuration":
        tree = tmp_path / "tree"
        folder = tree / "cluster" / "registry"
        folder.mkdir(parents=True)
        for one in (READER, WRITER):
            text = (TREE / "cluster" / "registry" / one.configuration).read_text()
            (folder / one.configuration).write_text(text.replace("level: warn", "level: info"))
    elif what == "certificate":
        authority = pki.Authority.load_or_create(tmp_path / "other-ca")
    else:
        boxes = world["boxes"]
        boxes[READER.container]["running"] = False
        world.write(boxes=boxes)
    before = registry.started_as()
    registry.ensure(image, authority, tree)
    assert (registry.started_as() == before) == (what == "stopped")
    wanted = [READER.container] if what == "stopped" else [WRITER.container, READER.container]
    assert world.did("run") == wanted
    assert sorted(world.did("rm")) == sorted(wanted)


@pytest.mark.parametrize("one", [READER, WRITER], ids=lambda one: one.label)
def test_somebody_elses_container_is_refused_not_removed(
    world: World, authority: pki.Authority, one: registry.Listener
) -> None:
    theirs = {"labels": {}, "argv": [], "running": True, "image": "registry:2"}
    world.write(boxes={one.container: theirs})
    with pytest.raises(UsageError, match=f"{one.container} is not InfraForge's.*docker rename"):
        registry.ensure(IMAGE, authority, TREE)
    assert registry.remove() == [f"files in {registry._folder()}"]
    assert world["boxes"] == {one.container: theirs}


def test_somebody_elses_network_is_refused_not_removed(
    world: World, authority: pki.Authority
) -> None:
    world.write(networks={WRITER.network: ""})
    with pytest.raises(UsageError, match=r"network .* is not InfraForge's"):
        registry.ensure(IMAGE, authority, TREE)
    registry.remove()
    assert world["networks"] == {WRITER.network: ""}


def test_a_silent_docker_is_not_taken_for_one_without_a_registry(
    world: World, authority: pki.Authority
) -> None:
    world.write(silent=True)
    with pytest.raises(UsageError, match=r"start it: \./bootstrap true: Cannot connect"):
        registry.ensure(IMAGE, authority, TREE)
    assert world.did("run") == []


def test_a_port_that_somebody_else_has_is_told(
    world: World, authority: pki.Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_taken", lambda port: port == registry.PORT)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:5001 is taken.*ss -ltnp"):
        registry.ensure(IMAGE, authority, TREE)


def test_all_of_it_is_removed(world: World, authority: pki.Authority) -> None:
    network.ensure_nodes()
    registry.ensure(IMAGE, authority, TREE)
    removed = registry.remove()
    assert world["boxes"] == world["networks"] == {}
    assert not registry._folder().exists()
    assert len(removed) == 5, removed


@pytest.mark.parametrize(("image", "stays"), [("infraforge/node:1", True), ("node:x", False)])
def test_it_stays_while_a_cluster_of_ours_lives_and_not_for_anybody_elses(
    world: World, authority: pki.Authority, image: str, stays: bool
) -> None:
    registry.ensure(IMAGE, authority, TREE)
    node = {"labels": {"io.x-k8s.kind.cluster": "dev"}, "argv": [], "running": True}
    world.write(boxes=world["boxes"] | {"dev-control-plane": node | {"image": image}})
    registry.remove()
    assert (READER.container in world["boxes"]) == stays
    assert "dev-control-plane" in world["boxes"]
