"""A KIND cluster from the project's own node image, through pytest-kind.

Nothing comes from the internet: kubeadm's static pods and everything else are pulled from the
local registry, which nodes trust by the platform CA.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes import config as kube_config

from infraforge.cluster import registry, state, tools
from infraforge.cluster.base import Say
from infraforge.cluster.pki import write_private
from infraforge.cluster.registry import docker
from infraforge.errors import ClusterError, UsageError, machine_fault
from infraforge.profile import Profile

HTTPS_NODE_PORT = 30443
HTTP_NODE_PORT = 30080
INGRESS_LABEL = "infraforge.io/ingress"
POD_SUBNET = "10.244.0.0/16"
_HOSTED = "ghcr.io"


class Kind:
    """One KIND cluster and its files under `state_dir()/clusters/NAME`."""

    def __init__(self, name: str, tree: Path) -> None:
        self.name = name
        self.folder = state.cluster_dir(name)
        self.kubeconfig = self.folder / "kubeconfig"
        self._tree = tree
        self._api: client.ApiClient | None = None

    @property
    def api(self) -> client.ApiClient:
        """A client signed in by the cluster's own kubeconfig."""
        if self._api is None:
            if not self.kubeconfig.exists() or self.kubeconfig.stat().st_size == 0:
                raise UsageError(
                    f"no cluster {self.name!r} is up; run: infraforge up --name {self.name}"
                )
            configuration = client.Configuration()
            kube_config.load_kube_config(str(self.kubeconfig), client_configuration=configuration)
            configuration.connection_pool_maxsize = 64
            self._api = client.ApiClient(configuration)
        return self._api

    @property
    def node_cidrs(self) -> Sequence[str]:
        return registry.subnets()

    def nodes(self) -> list[str]:
        """Names of the node containers there are, running or not."""
        label = f"label=io.x-k8s.kind.cluster={self.name}"
        return docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()

    def exists(self) -> bool:
        """True when nodes run and the API server answers."""
        if not self.nodes() or not self.kubeconfig.exists():
            return False
        try:
            client.VersionApi(self.api).get_code(_request_timeout=5)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not a usable cluster
            return False
        return True

    def check(self, profile: Profile) -> None:
        """Raise UsageError, before anything starts, for what would stop a stand-up."""
        if shutil.which("docker") is None:
            raise UsageError("docker is missing; ./bootstrap installs it")
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = machine_fault(done.stderr) or "no Docker daemon answers; run: ./bootstrap true"
            raise UsageError(why)
        if self.nodes():
            return  # our own nodes hold the ports
        for port in (profile.ports.https, profile.ports.http):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise UsageError(
                        f"127.0.0.1:{port} is taken ({error.strerror}); free it, or choose others "
                        f"by INFRAFORGE_HTTPS_PORT and INFRAFORGE_HTTP_PORT. "
                        f"Who it is: ss -ltnp 'sport = :{port}'"
                    ) from error

    def create(self, profile: Profile, node_image: str, ca_file: Path, say: Say) -> None:
        """Make the cluster's nodes and control plane; network and storage are `install`'s.

        Raises ClusterError with KIND's last lines when it fails.
        """
        if self.nodes():
            say("remains of an unfinished cluster are removed first")
            self.delete()
        self.folder.mkdir(parents=True, exist_ok=True)
        files = self._write_files(ca_file)
        config = self.folder / "kind.yaml"
        config.write_text(yaml.safe_dump(kind_config(profile, files), sort_keys=False))
        log = self.folder / "kind.log"
        argv = [sys.executable, "-m", "infraforge.cluster.kind_create", self.name]
        argv += ["--kubeconfig", str(self.kubeconfig), "--image", node_image]
        argv += ["--kind", str(tools.kind(self._tree)), "--config", str(config)]
        argv += ["--kubectl", str(tools.kubectl(self._tree))]
        with log.open("w") as out:
            done = subprocess.run(
                argv, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode != 0:
            tail = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-25:])
            raise ClusterError(f"kind could not make the cluster:\n{tail}")

    def delete(self) -> list[str]:
        """Remove nodes and files of this cluster; what was removed, in words."""
        removed = []
        nodes = self.nodes()
        if nodes:
            for node in nodes:
                _thaw(node)
            docker("rm", "--force", "--volumes", *nodes)
            removed += [f"node {node}" for node in nodes]
        if self.folder.exists():
            shutil.rmtree(self.folder)
            removed.append(f"files in {self.folder}")
        self._api = None
        return removed

    def on_node(self, node: str, *argv: str) -> str:
        """Run a command in a node's container; its output. Raises ClusterError."""
        if node not in self.nodes():
            raise ClusterError(f"{node} is no node of cluster {self.name}")
        return docker("exec", node, *argv)

    def _write_files(self, ca_file: Path) -> Mapping[str, Path]:
        """What nodes mount: registry trust, encryption key, audit policy and log folder."""
        certs = self.folder / "certs.d" / _HOSTED
        certs.mkdir(parents=True, exist_ok=True)
        (certs / "ca.crt").write_bytes(ca_file.read_bytes())
        (certs / "hosts.toml").write_text(
            f'server = "https://{_HOSTED}"\n\n'
            f'[host."https://{registry.NAME}:5000"]\n'
            'capabilities = ["pull", "resolve"]\n'
            f'ca = "/etc/containerd/certs.d/{_HOSTED}/ca.crt"\n'
        )
        control = self.folder / "control-plane"
        (control / "audit").mkdir(parents=True, exist_ok=True)
        shutil.copy(self._tree / "cluster" / "audit-policy.yaml", control / "audit-policy.yaml")
        encryption = yaml.safe_load((self._tree / "cluster" / "encryption.yaml").read_text())
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        encryption["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"] = key
        if not (control / "encryption.yaml").exists():
            write_private(control / "encryption.yaml", yaml.safe_dump(encryption))
        return {"certs": self.folder / "certs.d", "control": control}


def _thaw(node: str) -> None:
    """Let go on what a fault has paused: what is frozen cannot be killed, nor its node removed."""
    ctr = ("exec", node, "ctr", "--namespace=k8s.io", "task")
    with contextlib.suppress(ClusterError):  # on a node that does not run nothing is frozen
        for line in docker(*ctr, "ls").splitlines():
            if line.endswith("PAUSED"):
                docker(*ctr, "resume", line.split()[0])


def kind_config(profile: Profile, files: Mapping[str, Path]) -> dict[str, Any]:
    """KIND's configuration (kind.x-k8s.io/v1alpha4) for the profile's topology.

    files: `certs` (containerd's certs.d) and `control` (encryption, audit) on this machine.
    """
    zones = profile.cluster.zones
    mounts = [
        {
            "hostPath": str(files["certs"]),
            "containerPath": "/etc/containerd/certs.d",
            "readOnly": True,
        }
    ]
    control: dict[str, Any] = {
        "role": "control-plane",
        "extraMounts": [
            *mounts,
            {"hostPath": str(files["control"]), "containerPath": "/etc/kubernetes/infraforge"},
        ],
        "kubeadmConfigPatches": [json.dumps(patch) for patch in _kubeadm_patches()],
        "labels": {} if profile.cluster.workers else _zone(zones, 0),
    }
    workers = [
        {"role": "worker", "extraMounts": mounts, "labels": _zone(zones, index)}
        for index in range(profile.cluster.workers)
    ]
    _publish(workers[0] if workers else control, profile)
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "disableDefaultCNI": True,
            "podSubnet": POD_SUBNET,
            "kubeProxyMode": "iptables",
            "apiServerAddress": "127.0.0.1",
        },
        "nodes": [control, *workers],
    }


def _publish(node: dict[str, Any], profile: Profile) -> None:
    """Publish the front door's ports through `node`, and let the ingress find it by its label.

    A node passes on what arrives at its NodePort only to an ingress on itself: that keeps the
    client's address. With workers it must be one of them, for nothing else runs beside the
    control plane.
    """
    node["labels"] = {**node.get("labels", {}), INGRESS_LABEL: "true"}
    node["extraPortMappings"] = [
        _port(HTTPS_NODE_PORT, profile.ports.https),
        _port(HTTP_NODE_PORT, profile.ports.http),
    ]


def _zone(zones: Sequence[str], index: int) -> dict[str, str]:
    return {"topology.kubernetes.io/zone": zones[index % len(zones)]} if zones else {}


def _port(node_port: int, host_port: int) -> dict[str, Any]:
    return {
        "containerPort": node_port,
        "hostPort": host_port,
        "listenAddress": "127.0.0.1",
        "protocol": "TCP",
    }


def _kubeadm_patches() -> list[dict[str, Any]]:
    place = "/etc/kubernetes/infraforge"
    api_server = {
        "encryption-provider-config": f"{place}/encryption.yaml",
        "audit-policy-file": f"{place}/audit-policy.yaml",
        "audit-log-path": f"{place}/audit/audit.log",
        "audit-log-maxsize": "50",
        "audit-log-maxbackup": "2",
    }
    repository = "ghcr.io/tca-infraforge"
    return [
        {
            "kind": "ClusterConfiguration",
            "imageRepository": repository,
            "etcd": {
                "local": {
                    "imageRepository": repository,
                    "imageTag": "3.7.3",
                    "extraArgs": [{"name": "quota-backend-bytes", "value": "1073741824"}],
                }
            },
            "dns": {"imageRepository": repository, "imageTag": "1.15.0"},
            "apiServer": {
                "extraArgs": [{"name": k, "value": v} for k, v in api_server.items()],
                "extraVolumes": [
                    {
                        "name": "infraforge",
                        "hostPath": place,
                        "mountPath": place,
                        "readOnly": False,
                        "pathType": "Directory",
                    }
                ],
            },
        },
        {
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/kubelet",
            "serverTLSBootstrap": True,
            "serializeImagePulls": False,
            "maxParallelImagePulls": 4,
            "registryPullQPS": 0,
            # node pressure is the machine's, not this node's: the disk is shared with the host
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
        },
    ]
