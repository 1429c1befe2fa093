"""KIND's configuration of a cluster: nodes, mounts, published ports, kubeadm's patches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infraforge.cluster import node_files
from infraforge.profile import Profile

HTTPS_NODE_PORT = 30443
HTTP_NODE_PORT = 30080
INGRESS_LABEL = "infraforge.io/ingress"
POD_SUBNET = "10.244.0.0/16"


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
            {"hostPath": str(files["control"]), "containerPath": node_files.PLACE},
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
    place = node_files.PLACE
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
        {"kind": "InitConfiguration", "patches": {"directory": node_files.PATCHES}},
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
