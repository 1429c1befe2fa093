"""What a restart changes: addresses in a node's files, what kubelets tell, their certificates."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge.cluster import install
from infraforge.cluster.pki import Authority
from infraforge.errors import ClusterError
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


def test_another_address_is_put_wherever_the_former_was(tmp_path: Path) -> None:
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


def test_a_start_that_was_cut_short_is_made_good_by_the_next(tmp_path: Path) -> None:
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


def test_the_node_mends_itself_before_anything_starts() -> None:
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
        (pod("n", timedelta(seconds=-1)), "a/p: nothing was heard of it since n started"),
        (pod("n", timedelta(seconds=5), timedelta(hours=-1)), "nothing was heard of it"),
        (pod("down", timedelta(seconds=5)), "a/p: its node down does not run"),
    ],
)
def test_what_was_told_before_a_restart_is_stale(one: Any, stale: str) -> None:
    found = install._stale(SimpleNamespace(items=[one]), {"n": START})
    assert stale in found
    assert bool(stale) is bool(found)


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
def test_a_kubelets_certificate_must_name_its_address_of_now(
    tmp_path: Path, ips: list[str], lacking: str
) -> None:
    nodes: Any = Nodes(tmp_path, *ips)
    found = install._lacking_certificates(nodes, nodes, {"node-1": "its request csr-1 is not"})
    assert lacking in found
    assert bool(lacking) is bool(found)
    assert not lacking or "csr-1" in found
