"""The containers that are the nodes of one KIND cluster, or have the names of nodes.

KIND recognises nodes by a label and their names, and adds no label of ours. A container is ours
by what it mounts: each of our nodes mounts files from its own cluster's folder from creation on,
and no other container does.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infraforge.cluster import network
from infraforge.cluster.docker_cli import docker
from infraforge.errors import ClusterError, UsageError

_LABEL = "io.x-k8s.kind.cluster"
_ROLE = "io.x-k8s.kind.role"


@dataclass(frozen=True)
class NodeContainer:
    """One container as Docker reports it.

    role: KIND's (`control-plane`, `worker`), "" where it is not a KIND node; status: Docker's
    (`running`, `paused`, `exited`, …); started: when it last started (UTC); address: its IPv4 on
    the nodes' network, "" while it does not run; mounted: paths of this machine that it mounts.
    """

    container_id: str
    name: str
    role: str
    status: str
    started: datetime
    address: str
    mounted: tuple[Path, ...]

    @classmethod
    def parse(cls, inspected: Mapping[str, Any]) -> NodeContainer:
        """Parse one object of `docker inspect`."""
        networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
        binds = (inspected.get("HostConfig") or {}).get("Binds") or ()
        return cls(
            container_id=str(inspected["Id"]),
            name=str(inspected["Name"]).lstrip("/"),
            role=str(((inspected.get("Config") or {}).get("Labels") or {}).get(_ROLE, "")),
            status=str(inspected["State"]["Status"]),
            started=_when(str(inspected["State"].get("StartedAt", ""))),
            address=str((networks.get(network.NODES) or {}).get("IPAddress") or ""),
            mounted=tuple(Path(bind.split(":")[0]) for bind in binds),
        )

    def of(self, folder: Path) -> bool:
        """Whether it mounts anything from this folder."""
        return any(path.resolve().is_relative_to(folder.resolve()) for path in self.mounted)


def find(cluster: str, folder: Path) -> list[NodeContainer]:
    """The cluster's nodes, running or not, control planes first.

    folder: the cluster's files on this machine; each node mounts some of them. Raises UsageError
    where a container has a node's label or name but is not ours: nothing may be done under this
    name then.
    """
    named = f"name=^{cluster}-(control-plane|worker|external-load-balancer)[0-9]*$"
    listed: list[str] = []
    for condition in (f"label={_LABEL}={cluster}", named):
        said = docker("ps", "--all", "--no-trunc", "--filter", condition, "--format", "{{.ID}}")
        listed += said.split()
    containers = inspect(list(dict.fromkeys(listed)))
    strangers = sorted(one.name for one in containers if not one.of(folder))
    if strangers:
        raise UsageError(
            f"{', '.join(strangers)}: InfraForge did not make the cluster {cluster!r} on this "
            f"machine (or made it with files other than {folder}); nothing was touched. "
            f"Use another --name. To see whose it is: docker inspect {strangers[0]}"
        )
    return sorted(containers, key=lambda one: (one.role != "control-plane", one.name))


def inspect(names: Sequence[str]) -> list[NodeContainer]:
    """The containers with these ids or names. Raises ClusterError where one does not exist."""
    if not names:
        return []
    said = docker("inspect", "--type=container", *names)
    try:
        return [NodeContainer.parse(item) for item in json.loads(said)]
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"docker inspect printed what InfraForge cannot read: {said[:200]}"
        ) from error


def _when(text: str) -> datetime:
    """Docker's time (RFC 3339 with nanoseconds); the year 1 for a container that never ran."""
    seconds = text[:19]
    try:
        return datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def thaw(node: str) -> None:
    """Let go on what a fault has paused: what is frozen cannot be killed, nor its node removed."""
    ctr = ("exec", node, "ctr", "--namespace=k8s.io", "task")
    with contextlib.suppress(ClusterError):  # it is not paused itself
        docker("unpause", node)
    with contextlib.suppress(ClusterError):  # on a node that does not run nothing is frozen
        for line in docker(*ctr, "ls").splitlines():
            if line.endswith("PAUSED"):
                docker(*ctr, "resume", line.split()[0])
