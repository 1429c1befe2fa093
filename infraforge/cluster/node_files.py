"""Files that the nodes of a KIND cluster mount from this machine.

    certs.d/          the registry containerd pulls from, and the CA that signed its certificate
    control-plane/    for the API server: key that encrypts Secrets, audit policy, audit log;
                      for kubeadm: patches that name its images by digest

Everything but the images' names can be updated on a running cluster.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from infraforge import files
from infraforge.cluster import registry
from infraforge.cluster.pki import write_private
from infraforge.errors import ClusterError, UsageError
from infraforge.wait import minutes, wait_until

HOSTED = "ghcr.io"
"""The host in the images' canonical names. Nodes pull it from the local registry, nowhere else."""
PLACE = "/etc/kubernetes/infraforge"
"""Where `control-plane/` is mounted on a control-plane node."""
PATCHES = f"{PLACE}/patches"
_API_SERVER = "kube-apiserver"
_STATIC_POD = "/etc/kubernetes/manifests/kube-apiserver.yaml"
_ANNOTATION = "infraforge.io/audit-policy"
_REPLACE = (
    'umask 077; echo "$1" | base64 -d > /etc/kubernetes/new-pod && mv /etc/kubernetes/new-pod "$2"'
)
_POLICY = "audit-policy.yaml"
_IN_FORCE = "audit-policy.in-force"
_POD, _TEMPLATE = ("spec",), ("spec", "template", "spec")
_TARGETS = {
    "etcd": ("etcd", _POD),
    "kube-apiserver": ("kube-apiserver", _POD),
    "kube-controller-manager": ("kube-controller-manager", _POD),
    "kube-scheduler": ("kube-scheduler", _POD),
    "corednsdeployment": ("coredns", _TEMPLATE),
    "kubeproxydaemonset": ("kube-proxy", _TEMPLATE),
}
"""kubeadm's patch target → its container (named like the catalogue's image), and where it is."""


class Node(Protocol):
    """A cluster on whose nodes commands can be run."""

    name: str
    folder: Path

    def on_node(self, node: str, *argv: str) -> str: ...


def write(
    folder: Path, tree: Path, ca_file: Path, digests: Mapping[str, str]
) -> Mapping[str, Path]:
    """Write all files for a cluster that is about to be created: `certs` and `control`.

    digests: canonical image reference → `sha256:…`. Raises UsageError where one of kubeadm's
    images has no digest.
    """
    _write_hosts(folder, ca_file)
    control = folder / "control-plane"
    (control / "audit").mkdir(parents=True, exist_ok=True)
    encryption = yaml.safe_load((tree / "cluster" / "encryption.yaml").read_text())
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    encryption["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"] = key
    if not (control / "encryption.yaml").exists():
        write_private(control / "encryption.yaml", yaml.safe_dump(encryption))
    _write_policy(control, tree)
    (control / _IN_FORCE).write_text(_digest(control / _POLICY))
    patches = control / "patches"
    patches.mkdir(exist_ok=True)
    for target, (name, place) in _TARGETS.items():
        patch: dict[str, Any] = {"containers": [{"name": name, "image": pinned(name, digests)}]}
        for part in reversed(place):
            patch = {part: patch}
        (patches / f"{target}.json").write_text(json.dumps(patch))
    return {"certs": folder / "certs.d", "control": control}


def refresh(cluster: Node, tree: Path, ca_file: Path) -> bool:
    """Update the files of a running cluster; True where its API server was restarted.

    containerd reads its file for every pull. The API server reads the audit policy only at its
    start, so a changed policy needs a restart (some seconds). Raises TimedOut where the API server
    does not come back.
    """
    _write_hosts(cluster.folder, ca_file)
    control = cluster.folder / "control-plane"
    _write_policy(control, tree)
    wanted, note = _digest(control / _POLICY), control / _IN_FORCE
    if note.exists() and note.read_text() == wanted:
        return False
    _restart_api_server(cluster, wanted)
    note.write_text(wanted)
    return True


def pinned(name: str, digests: Mapping[str, str]) -> str:
    """The catalogue's image of that name as `repo:tag@sha256:…`; UsageError without a digest."""
    for reference, digest in digests.items():
        if reference.rpartition("/")[2].partition(":")[0] == name:
            return f"{reference}@{digest}"
    raise UsageError(f"the digest of {name} is not known; run: infraforge images push")


def sandbox_patch(digests: Mapping[str, str]) -> str:
    """A patch (TOML) of containerd's configuration that pins every pod's sandbox by digest."""
    return (
        "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n"
        f'sandbox = "{pinned("pause", digests)}"\n'
    )


def _write_hosts(folder: Path, ca_file: Path) -> None:
    """Make nodes pull from the read-only registry, and from nowhere else if it is down."""
    certs = folder / "certs.d" / HOSTED
    certs.mkdir(parents=True, exist_ok=True)
    files.replace(certs / "ca.crt", ca_file.read_bytes())
    files.replace(
        certs / "hosts.toml",
        f'server = "https://{registry.NAME}:5000"\n'
        'capabilities = ["pull", "resolve"]\n'
        f'ca = "/etc/containerd/certs.d/{HOSTED}/ca.crt"\n',
    )


def _write_policy(control: Path, tree: Path) -> None:
    files.replace(control / _POLICY, (tree / "cluster" / _POLICY).read_text())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _restart_api_server(cluster: Node, policy: str) -> None:
    """Have the kubelet replace the API server's static pod; policy: the digest that it is to read.

    A new pod starts at once. A process that is killed instead starts after the kubelet's back-off,
    which doubles each time: the third restart within ten minutes took 110 s.
    """
    node = f"{cluster.name}-control-plane"
    find = ("sh", "-c", f"pgrep --exact {_API_SERVER} || true")
    before = cluster.on_node(node, *find)
    pod = yaml.safe_load(cluster.on_node(node, "cat", _STATIC_POD))
    # a time, too: a restart that was interrupted is made again
    pod["metadata"].setdefault("annotations", {})[_ANNOTATION] = f"{policy} {time.time_ns()}"
    text = base64.b64encode(yaml.safe_dump(pod, sort_keys=False).encode()).decode()
    cluster.on_node(node, "sh", "-c", _REPLACE, "sh", text, _STATIC_POD)

    def another_is_ready() -> bool:
        if cluster.on_node(node, *find) in ("", before):
            return False
        asked = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "--raw=/readyz")
        return cluster.on_node(node, *asked) == "ok"

    wait_until(
        another_is_ready,
        within=minutes(3),
        every=0.5,
        what="the API server is back with the audit policy",
        ignoring=(ClusterError,),
    )
