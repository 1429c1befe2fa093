"""What a restart changes: addresses in a node's files, kubelets' reports, their certificates."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import faults
from infraforge.cluster import install, kind
from infraforge.cluster.pki import Authority
from infraforge.errors import ClusterError, Unable
from infraforge.profile import Profile
from infraforge.selftests.fake_docker import FakeDocker
from infraforge.selftests.stand_ins import NODE, Api, cluster_folder, kubeconfig
from infraforge.stack import TREE

SCRIPT = TREE / "images" / "node" / "kind" / "mend-address"
CONTROL = {
    "etc/kubernetes/manifests/kube-apiserver.yaml": "- --advertise-address=172.20.0.4\n",
    "etc/kubernetes/manifests/etcd.yaml": "https://172.20.0.4:2380,https://172.20.0.40:1\n",
    "etc/kubernetes/controller-manager.conf": "server: https://172.20.0.4:6443\n",
    "etc/kubernetes/scheduler.conf": "server: https://172.20.0.4:6443\n",
    "etc/kubernetes/kubelet.conf": "server: https://x-control-plane:6443\n",
    "etc/kubernetes/pki/apiserver.crt": "for 172.20.0.4",
    "etc/kubernetes/pki/apiserver.key": "key",
    "etc/kubernetes/pki/ca.crt": "ca",
    "kind/kubeadm.conf": "advertiseAddress: 172.20.0.4\n",
    "var/lib/kubelet/kubeadm-flags.env": "--node-ip=172.20.0.4 --other=1172.20.0.4\n",
}
WORKER = {
    "etc/kubernetes/kubelet.conf": "server: https://x-control-plane:6443\n",
    "kind/kubeadm.conf": "node-ip: 172.20.0.4\n",
    "var/lib/kubelet/kubeadm-flags.env": "--node-ip=172.20.0.4\n",
}


class Node:
    """A node's files below a folder, and its address as `getent` tells it."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, text in {**files, "kind/version": "v1\n"}.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.program("kubeadm", f'echo "$@" >> {folder}/kubeadm.log\n')
        self.log = folder / "kubeadm.log"

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def start(self, address: str) -> int:
        """Start it at this address; the script's exit code."""
        self.program("getent", f'[ -n "{address}" ] && echo "{address} STREAM x"\n')
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        argv = ["bash", str(SCRIPT), str(self.root)]
        return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode

    def text(self, name: str) -> str:
        return (self.root / name).read_text()

    @property
    def certified(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def test_the_first_start_and_one_at_the_same_address_change_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, CONTROL)
    for _ in range(2):
        assert node.start("172.20.0.4") == 0
    assert {name: node.text(name) for name in CONTROL} == CONTROL
    assert node.text("kind/old-ipv4") == "172.20.0.4\n"
    assert node.certified == []


def test_a_new_address_replaces_every_occurrence_of_the_old(tmp_path: Path) -> None:
    node = Node(tmp_path, CONTROL)
    node.start("172.20.0.4")
    assert node.start("172.20.0.2") == 0
    for name, text in CONTROL.items():
        if "/pki/" not in name:
            wanted = text.replace("172.20.0.4", "172.20.0.2")
            # neither is that one's address, which only begins or ends alike
            wanted = wanted.replace("172.20.0.20", "172.20.0.40").replace(
                "1172.20.0.2", "1172.20.0.4"
            )
            assert node.text(name) == wanted, name
    assert not (node.root / "etc/kubernetes/pki/apiserver.crt").exists()
    assert node.text("etc/kubernetes/pki/ca.crt") == "ca"
    [asked] = node.certified
    assert asked.startswith("init phase certs apiserver --config")
    assert node.start("172.20.0.3") == 0
    assert node.text("kind/kubeadm.conf") == "advertiseAddress: 172.20.0.3\n"
    assert len(node.certified) == 2


def test_the_next_start_completes_an_interrupted_one(tmp_path: Path) -> None:
    node = Node(tmp_path, CONTROL)
    node.start("172.20.0.4")
    node.program("kubeadm", "exit 1\n")
    assert node.start("172.20.0.2") != 0
    node.program("kubeadm", f'echo "$@" >> {node.log}\n')
    assert node.start("172.20.0.2") == 0
    assert len(node.certified) == 1
    assert node.text("kind/old-ipv4") == "172.20.0.2\n"


def test_a_worker_has_no_certificate_of_the_api_server(tmp_path: Path) -> None:
    node = Node(tmp_path, WORKER)
    node.start("172.20.0.4")
    assert node.start("172.20.0.2") == 0
    assert node.text("var/lib/kubelet/kubeadm-flags.env") == "--node-ip=172.20.0.2\n"
    assert node.certified == []


def test_a_node_without_an_address_says_so_once_it_had_one(tmp_path: Path) -> None:
    node = Node(tmp_path, WORKER)
    assert node.start("") == 0
    node.start("172.20.0.4")
    assert node.start("") == 1
    assert node.text("kind/old-ipv4") == "172.20.0.4\n"


def test_the_node_corrects_its_files_before_anything_starts() -> None:
    lines = (TREE / "images" / "node" / "entrypoint").read_text().split("\n")
    assert lines.index("bash /kind/mend-address") < lines.index('exec "$@"')


START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(node: str | None, *since: timedelta | None) -> Any:
    """A pod whose containers run since so long after the node's start; None: it does not run."""
    boxes = [
        SimpleNamespace(
            state=SimpleNamespace(
                running=None if age is None else SimpleNamespace(started_at=START + age)
            )
        )
        for age in since
    ]
    return SimpleNamespace(
        metadata=SimpleNamespace(namespace="a", name="p"),
        spec=SimpleNamespace(node_name=node),
        status=SimpleNamespace(container_statuses=boxes or None),
    )


@pytest.mark.parametrize(
    ("one", "stale"),
    [
        (pod("n", timedelta(seconds=5)), ""),
        (pod("n", timedelta(seconds=5), None), ""),
        (pod("n", None), ""),
        (pod("n"), ""),
        (pod(None), ""),
        (pod("n", timedelta(seconds=-1)), "a/p: no status since n started"),
        (pod("n", timedelta(seconds=5), timedelta(hours=-1)), "no status since n started"),
        (pod("down", timedelta(seconds=5)), "a/p: its node down is not running"),
    ],
)
def test_a_status_from_before_a_restart_is_stale(one: Any, stale: str) -> None:
    message = install._stale(SimpleNamespace(items=[one]), {"n": START})
    assert stale in message
    assert bool(stale) is bool(message)


class Nodes:
    """A cluster of one node, with a serving certificate for these names; None: it has none yet."""

    def __init__(self, folder: Path, *ips: str) -> None:
        authority = Authority.load_or_create(folder / "ca")
        self.pem = authority.issue(["node-1"], list(ips)).cert_pem if ips else None

    def on_node(self, node: str, *argv: str) -> str:
        assert (node, argv[0]) == ("node-1", "openssl")  # not the file as it is: the key is in it
        if self.pem is None:
            raise ClusterError("no such file")
        return self.pem

    def list_node(self) -> Any:
        addresses = [SimpleNamespace(address=text) for text in ("172.20.0.2", "node-1")]
        status = SimpleNamespace(addresses=addresses)
        return SimpleNamespace(
            items=[SimpleNamespace(metadata=SimpleNamespace(name="node-1"), status=status)]
        )


@pytest.mark.parametrize(
    ("ips", "lacking"),
    [
        (["172.20.0.2"], ""),
        (["172.20.0.2", "172.20.0.9"], ""),
        (["172.20.0.4"], "does not name 172.20.0.2"),
        ([], "has no serving certificate yet"),
    ],
)
def test_a_kubelets_certificate_must_name_its_present_address(
    tmp_path: Path, ips: list[str], lacking: str
) -> None:
    nodes: Any = Nodes(tmp_path, *ips)
    message = install._lacking_certificates(nodes, nodes, {"node-1": "its request csr-1 is not"})
    assert lacking in message
    assert bool(lacking) is bool(message)
    assert not lacking or "csr-1" in message


def test_a_restart_gives_each_another_address_as_its_proof(docker: FakeDocker, api: Api) -> None:
    """Stopped all, started in another order; its undo is data that another process can perform."""
    folder = str(cluster_folder())
    docker.add("infraforge-registry", ours="registry", address="172.20.0.2")
    docker.add(NODE, "infraforge", mounts=folder, address="172.20.0.3")
    docker.add(
        "infraforge-worker", "infraforge", mounts=folder, address="172.20.0.4", role="worker"
    )
    docker.add("theirs", ours="image", address="172.20.0.9")  # run from one of our images
    kubeconfig(api.url)
    site: Any = SimpleNamespace(
        cluster=kind.Kind("infraforge", TREE), profile=Profile.load("minimal", TREE)
    )
    aimed = faults.Restart().aim(site)
    assert docker.changes == []
    assert aimed.took_effect(site) == ""
    aimed.strike(site)
    assert docker.changes[0].startswith("stop ")
    assert "id-of-theirs" not in " ".join(docker.changes)
    proof = aimed.took_effect(site)
    assert f"{NODE} 172.20.0.3 → 172.20.0.2" in proof
    assert "infraforge-registry 172.20.0.2 → 172.20.0.4" in proof
    again = faults.UNDOS["started"].restored(aimed.undo.parameters)
    assert again == aimed.undo
    again.perform(site)


def test_a_restart_that_left_the_control_plane_where_it_was_proves_nothing(
    docker: FakeDocker, api: Api
) -> None:
    docker.add(NODE, "infraforge", mounts=str(cluster_folder()), address="172.20.0.2")
    kubeconfig(api.url)
    site: Any = SimpleNamespace(
        cluster=kind.Kind("infraforge", TREE), profile=Profile.load("minimal", TREE)
    )
    aimed = faults.Restart().aim(site)
    aimed.strike(site)
    assert aimed.took_effect(site) == ""


def test_only_a_cluster_of_ours_can_be_restarted() -> None:
    site: Any = SimpleNamespace(cluster=SimpleNamespace(name="existing"))
    with pytest.raises(Unable):
        faults.Restart().aim(site)


def test_a_nodes_start_is_known_even_if_the_clock_was_set(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(cluster_folder())
    docker.add(NODE, "infraforge", mounts=folder, started="2026-01-01T00:00:00.5Z")
    docker.add("infraforge-worker", "infraforge", mounts=folder, status="exited", role="worker")
    cluster = kind.Kind("infraforge", TREE)
    assert cluster.started() == {NODE: datetime(2026, 1, 1, tzinfo=UTC)}
    # it has run for longer than since then: the clock was set back
    docker.path.write_text(docker.path.read_text().replace("2026-01-01", "2999-01-01"))
    monkeypatch.setenv("FAKE_AGE", "     60")
    age = datetime.now(UTC) - cluster.started()[NODE]
    assert 30 < age.total_seconds() <= 60
