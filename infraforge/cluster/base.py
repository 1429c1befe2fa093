"""What the harness needs of a cluster, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from kubernetes import client

Say = Callable[[str], None]
"""Called with one line of progress."""


class Cluster(Protocol):
    """A Kubernetes cluster the platform can stand on."""

    name: str
    kubeconfig: Path

    @property
    def api(self) -> client.ApiClient:
        """A client signed in as an administrator."""

    @property
    def node_cidrs(self) -> Sequence[str]:
        """Networks the nodes' own addresses come from, e.g. `172.18.0.0/16`."""

    def exists(self) -> bool:
        """Whether its API server answers."""
