"""What the harness needs from a cluster, whatever created it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import urllib3
from kubernetes import client

Say = Callable[[str], None]
"""Called with one line of progress."""

ONCE = urllib3.Retry(total=0)
"""Ask once: by default the Kubernetes client would retry three times."""


class Presence(enum.Enum):
    """What is known of a cluster. Silence is not absence: its data may still be there."""

    ABSENT = "absent"  # nothing of it is here: no node, no kubeconfig that leads to it
    ANSWERS = "answers"  # its API server answers
    SILENT = "silent"  # something of it is here, but its API server does not answer


class Cluster(Protocol):
    """A Kubernetes cluster the platform can stand on.

    trouble: where the cluster is silent, what `presence` last saw, in words; "" otherwise.
    """

    name: str
    kubeconfig: Path
    trouble: str

    @property
    def api(self) -> client.ApiClient:
        """A client with administrator rights."""

    @property
    def node_cidrs(self) -> Sequence[str]:
        """Networks that hold the nodes' own addresses, e.g. `172.18.0.0/16`."""

    @property
    def door(self) -> str:
        """The label of the one node through which users come in; "" where any node will do."""

    def presence(self) -> Presence:
        """Whether the cluster exists, and whether it answers."""


class OwnNodes(Cluster, Protocol):
    """A cluster whose nodes are containers that InfraForge made."""

    def on_node(self, node: str, *argv: str) -> str:
        """Run a command on a node and return its output. Raises ClusterError when it fails."""

    def started(self) -> Mapping[str, datetime]:
        """When each running node started (UTC); nodes that are stopped are left out."""


def in_short(error: Exception) -> str:
    """The error's root cause in one line: urllib3 nests causes and repeats them."""
    reason: object = error
    while (inner := getattr(reason, "reason", None)) is not None and inner is not reason:
        reason = inner
    return " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
