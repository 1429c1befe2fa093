"""The containers that are, or are called like, the nodes of one KIND cluster.

KIND knows nodes by a label and their names, and puts no label of ours on them. So what makes a
container ours is what it mounts: each node of ours mounts files of its own cluster's folder, from
the moment it is made, and nobody else's does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infraforge.cluster.docker_cli import docker
from infraforge.cluster.registry import NETWORK
from infraforge.errors import ClusterError, UsageError

_LABEL = "io.x-k8s.kind.cluster"
_ROLE = "io.x-k8s.kind.role"


@dataclass(frozen=True)
class NodeContainer:
    """One container as Docker has it.

    role: KIND's (`control-plane`, `worker`), "" where it is no node of KIND's; status: Docker's
    (`running`, `paused`, `exited`, …); started: when it last started (UTC); address: its IPv4 on
    the nodes' network, "" while it does not run; mounted: the paths of this machine it mounts.
    """

    container_id: str
    name: str
    role: str
    status: str
    started: datetime
    address: str
    mounted: tuple[Path, ...]

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> NodeContainer:
        """Of one object of `docker inspect`."""
        networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
        binds = (found.get("HostConfig") or {}).get("Binds") or ()
        return cls(
            container_id=str(found["Id"]),
            name=str(found["Name"]).lstrip("/"),
            role=str(((found.get("Config") or {}).get("Labels") or {}).get(_ROLE, "")),
            status=str(found["State"]["Status"]),
            started=_when(str(found["State"].get("StartedAt", ""))),
            address=str((networks.get(NETWORK) or {}).get("IPAddress") or ""),
            mounted=tuple(Path(bind.split(":")[0]) for bind in binds),
        )

    def of(self, folder: Path) -> bool:
        """Whether it mounts something of this folder."""
        return any(path.resolve().is_relative_to(folder.resolve()) for path in self.mounted)


def find(cluster: str, folder: Path) -> list[NodeContainer]:
    """The cluster's nodes, running or not, control planes first.

    folder: the cluster's files on this machine, of which each node mounts some. Raises UsageError
    where a container has a node's label or name and is not ours: nothing may be done under this
    name then.
    """
    named = f"name=^{cluster}-(control-plane|worker|external-load-balancer)[0-9]*$"
    listed: list[str] = []
    for condition in (f"label={_LABEL}={cluster}", named):
        said = docker("ps", "--all", "--no-trunc", "--filter", condition, "--format", "{{.ID}}")
        listed += said.split()
    found = inspect(list(dict.fromkeys(listed)))
    strangers = sorted(one.name for one in found if not one.of(folder))
    if strangers:
        raise UsageError(
            f"{', '.join(strangers)}: a cluster {cluster!r} is on this machine that InfraForge did "
            f"not make (or made with other files than those in {folder}); nothing was touched. Use "
            f"another --name. Whose it is: docker inspect {strangers[0]}"
        )
    return sorted(found, key=lambda one: (one.role != "control-plane", one.name))


def inspect(names: Sequence[str]) -> list[NodeContainer]:
    """These containers, by id or name. Raises ClusterError where one is not there."""
    if not names:
        return []
    said = docker("inspect", "--type=container", *names)
    try:
        return [NodeContainer.parse(found) for found in json.loads(said)]
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"docker inspect said what is not understood: {said[:200]}") from error


def _when(text: str) -> datetime:
    """Docker's time (RFC 3339 with nanoseconds); the year 1 for one that never ran."""
    seconds = text[:19]
    try:
        return datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
