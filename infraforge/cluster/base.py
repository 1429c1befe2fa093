"""What the harness needs of a cluster, whoever made it."""

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
"""Of a question whose answer is wanted now: the Kubernetes client would ask four times."""


class Presence(enum.Enum):
    """What is known of a cluster. Silence is not absence: its data may well be there."""

    ABSENT = "absent"  # nothing of it is here: no node, no file that leads to it
    ANSWERS = "answers"  # its API server does what it is asked
    SILENT = "silent"  # something of it is here, and its API server does not answer


class Cluster(Protocol):
    """A Kubernetes cluster the platform can stand on.

    trouble: what `presence` saw last where the cluster is silent, in words; "" elsewhere.
    """

    name: str
    kubeconfig: Path
    trouble: str

    @property
    def api(self) -> client.ApiClient:
        """A client signed in as an administrator."""

    @property
    def node_cidrs(self) -> Sequence[str]:
        """Networks the nodes' own addresses come from, e.g. `172.18.0.0/16`."""

    def presence(self) -> Presence:
        """Whether it is there, and answers."""


class OwnNodes(Cluster, Protocol):
    """A cluster whose nodes are containers of ours."""

    def on_node(self, node: str, *argv: str) -> str:
        """What a command says that is run on a node. Raises ClusterError when it fails."""

    def started(self) -> Mapping[str, datetime]:
        """Since when each node has been running (UTC); nodes that do not run are left out."""


def in_short(error: Exception) -> str:
    """The error's last cause in one line: urllib3 nests and repeats them."""
    reason: object = error
    while (inner := getattr(reason, "reason", None)) is not None and inner is not reason:
        reason = inner
    return " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
