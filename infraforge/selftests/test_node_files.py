"""Files that nodes mount: pulls go to the read-only registry, and every image is pinned."""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from infraforge.cluster import manifests, node_files, registry
from infraforge.cluster.kind_config import kind_config
from infraforge.errors import ClusterError, TimedOut, UsageError
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile
from infraforge.selftests.stand_ins import digests
from infraforge.stack import TREE

CATALOGUE = Catalogue.load(TREE)
DIGESTS = digests()


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_text("the machine's CA")
    return path


@pytest.fixture
def files(tmp_path: Path, ca_file: Path) -> Mapping[str, Path]:
    return node_files.write(tmp_path / "cluster", TREE, ca_file, DIGESTS)


def test_nodes_pull_from_the_read_only_registry_alone(files: Mapping[str, Path]) -> None:
    """With the local registry away a pull fails: no request leaves for a name we may not own."""
    [folder] = files["certs"].iterdir()
    assert folder.name == CATALOGUE.prefix.partition("/")[0]
    hosts = tomllib.loads((folder / "hosts.toml").read_text())
    asked = [hosts["server"], *hosts.get("host", {})]
    assert {urlsplit(url).hostname for url in asked} == {registry.READER.container}
    assert {urlsplit(url).scheme for url in asked} == {"https"}
    assert "push" not in hosts["capabilities"]
    assert (folder / "ca.crt").read_text() == "the machine's CA"
    assert hosts["ca"] == f"/etc/containerd/certs.d/{folder.name}/ca.crt"
    assert "skip_verify" not in hosts


def test_all_of_kubeadms_images_are_named_by_digest(files: Mapping[str, Path]) -> None:
    images = {}
    for path in (files["control"] / "patches").glob("*.json"):
        patch: Any = json.loads(path.read_text())
        pod = patch["spec"].get("template", patch)["spec"]
        [box] = pod["containers"]
        images[path.stem] = (box["name"], box["image"])
    for target, (name, image) in images.items():
        assert image == f"{CATALOGUE.reference(name)}@{DIGESTS[CATALOGUE.reference(name)]}", target
    static = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    assert set(images) == static | {"corednsdeployment", "kubeproxydaemonset"}


def test_kubeadm_gets_its_patches_at_their_path_on_the_node(
    files: Mapping[str, Path],
) -> None:
    config = kind_config(Profile.load("minimal", TREE), files)
    control = config["nodes"][0]
    patches = [json.loads(text) for text in control["kubeadmConfigPatches"]]
    [init] = [patch for patch in patches if patch["kind"] == "InitConfiguration"]
    mounts = {mount["hostPath"]: mount["containerPath"] for mount in control["extraMounts"]}
    folder = Path(init["patches"]["directory"])
    assert str(folder.parent) == mounts[str(files["control"])]
    assert (files["control"] / folder.name).is_dir()


def test_the_sandbox_of_every_pod_is_named_by_digest() -> None:
    """The patch changes exactly the key that the node image's own configuration has."""
    patch = tomllib.loads(node_files.sandbox_patch(DIGESTS))
    etc = TREE / "images" / "node" / "etc" / "containerd" / "config.toml"
    shipped = tomllib.loads(etc.read_text())
    at = ("plugins", "io.containerd.cri.v1.images", "pinned_images")
    for key in at:
        patch, shipped = patch[key], shipped[key]
    assert patch == {"sandbox": f"{shipped['sandbox']}@{DIGESTS[shipped['sandbox']]}"}


def test_an_image_without_a_digest_stops_the_stand_up(tmp_path: Path, ca_file: Path) -> None:
    known = {ref: digest for ref, digest in DIGESTS.items() if "/etcd:" not in ref}
    with pytest.raises(UsageError, match=r"digest of etcd is not known.*infraforge images push"):
        node_files.write(tmp_path / "cluster", TREE, ca_file, known)


@pytest.mark.parametrize("path", sorted((TREE / "cluster").glob("*/*.yaml")), ids=lambda p: p.name)
def test_the_clusters_own_parts_are_pinned(path: Path) -> None:
    """The pod that local-path makes from a file in a ConfigMap included."""
    objects = [item for item in yaml.safe_load_all(path.read_text()) if item and "kind" in item]
    objects = [item for item in objects if item["kind"] != "Kustomization"]
    assert manifests.unpinned(manifests.pin_images(objects, DIGESTS)) == []


def test_a_pod_in_a_config_map_is_pinned_or_reported() -> None:
    text = (TREE / "cluster" / "local-path" / "helperPod.yaml").read_text()
    held = {"kind": "ConfigMap", "data": {"helperPod.yaml": text, "setup": "#!/bin/sh\n"}}
    assert manifests.unpinned([held]) == [CATALOGUE.reference("local-path-helper")]
    [pinned] = manifests.pin_images([held], DIGESTS)
    assert manifests.unpinned([pinned]) == []
    pod = yaml.safe_load(pinned["data"]["helperPod.yaml"])
    assert pod["kind"] == "Pod"
    assert pinned["data"]["setup"] == "#!/bin/sh\n"
    assert held["data"]["helperPod.yaml"] == text


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("Pod", ("spec",)),
        ("Job", ("spec", "template", "spec")),
        ("ReplicaSet", ("spec", "template", "spec")),
        ("CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
    ],
)
def test_every_kind_that_makes_pods_is_pinned(kind: str, place: tuple[str, ...]) -> None:
    reference = CATALOGUE.reference("pause")
    spec: Any = {"containers": [{"image": reference}], "initContainers": [{"image": reference}]}
    for part in reversed(place):
        spec = {part: spec}
    item = {"kind": kind, **spec}
    assert manifests.unpinned([item]) == [reference]
    assert manifests.unpinned(manifests.pin_images([item], DIGESTS)) == []


class Running:
    """A cluster of a former version that runs; `back`: whether its API server comes back."""

    def __init__(self, folder: Path, *, back: bool = True) -> None:
        self.name, self.folder, self.back = "dev", folder, back
        self.restarts = 0
        self.pod = "metadata: {name: kube-apiserver}\nspec: {containers: [{image: x}]}\n"

    def on_node(self, node: str, *argv: str) -> str:
        assert node == "dev-control-plane"
        if argv[0] == "cat":
            return self.pod
        if argv[0] == "sh" and "pgrep" in argv[2]:
            return str(100 + self.restarts)
        if argv[0] == "sh":
            text = base64.b64decode(argv[4]).decode()
            assert text != self.pod, "the kubelet replaces a pod only if its file changed"
            self.pod, self.restarts = text, self.restarts + 1
            return ""
        assert argv[0] == "kubectl"
        if not self.back:
            raise ClusterError("connection refused")
        return "ok"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The files of a cluster that a former version made."""
    folder = tmp_path / "old"
    certs = folder / "certs.d" / node_files.HOSTED
    certs.mkdir(parents=True)
    (certs / "hosts.toml").write_text('server = "https://ghcr.io"\n')
    (folder / "control-plane").mkdir()
    (folder / "control-plane" / "audit-policy.yaml").write_text("rules: []\n")
    (folder / "control-plane" / "encryption.yaml").write_text("its key\n")
    return folder


def test_a_cluster_of_a_former_version_is_brought_up_to_date_once(old: Path, ca_file: Path) -> None:
    cluster = Running(old)
    assert node_files.refresh(cluster, TREE, ca_file)
    assert "ghcr.io" not in (old / "certs.d/ghcr.io/hosts.toml").read_text().split("\n")[0]
    policy = (old / "control-plane" / "audit-policy.yaml").read_text()
    assert policy == (TREE / "cluster" / "audit-policy.yaml").read_text()
    assert (old / "control-plane" / "encryption.yaml").read_text() == "its key\n"
    assert cluster.restarts == 1
    pod = yaml.safe_load(cluster.pod)
    assert pod["spec"] == {"containers": [{"image": "x"}]}
    assert pod["metadata"]["name"] == "kube-apiserver"
    assert not node_files.refresh(cluster, TREE, ca_file)
    assert cluster.restarts == 1


def test_a_policy_not_yet_in_force_is_applied_by_the_next_run(
    old: Path, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_files, "minutes", lambda _number: 0.1)
    cluster = Running(old, back=False)
    with pytest.raises(TimedOut, match="API server is back"):
        node_files.refresh(cluster, TREE, ca_file)
    cluster.back = True
    assert node_files.refresh(cluster, TREE, ca_file)
    assert not node_files.refresh(cluster, TREE, ca_file)


def test_a_new_cluster_needs_no_restart(
    files: Mapping[str, Path], tmp_path: Path, ca_file: Path
) -> None:
    assert files["control"].is_relative_to(tmp_path / "cluster")
    cluster = Running(tmp_path / "cluster")
    assert not node_files.refresh(cluster, TREE, ca_file)
    assert cluster.restarts == 0
