"""A container fills one of its folders, as an unbounded log or upload would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import targets

_FILE = "infraforge-fill"
_OVER = ("Failed", "Succeeded")
"""Phases of an evicted pod: Succeeded where its programs exited with 0 on SIGTERM."""


@dataclass(frozen=True)
class Fill:
    """Write `mebibytes` MiB into a folder of `component` (`container`: else its main one)."""

    component: str
    mebibytes: int
    folder: str = "/tmp"  # noqa: S108  the pod's own emptyDir
    container: str = ""

    def describe(self) -> str:
        return f"fill {self.folder} of {self.component} with {self.mebibytes} MiB"

    def aim(self, site: Site) -> Filling:
        target = targets.find(site, self.component, self.container)
        return Filling(target, self.folder, self.mebibytes)


@dataclass(frozen=True)
class Filling:
    """A fill aimed at one container."""

    lasting: ClassVar[bool] = False  # the kubelet should evict the pod for it
    target: containers.Container
    folder: str
    mebibytes: int

    @property
    def undo(self) -> Empty:
        target = self.target
        return Empty(target.namespace, target.pod, target.uid, target.name, self.folder)

    def strike(self, site: Site) -> None:
        """Returns once all is written: the kubelet checks only now and then."""
        write = 'head -c "$1" /dev/zero > "$2"'
        size = str(self.mebibytes * 1024 * 1024)
        run_in(site, self.undo, "sh", "-c", write, "fill", size, self.undo.path)

    def took_effect(self, site: Site) -> str:
        if put_out(site, self.undo):
            return f"{self.target.place} was evicted"
        size = int(run_in(site, self.undo, "stat", "-c", "%s", self.undo.path))
        full = size >= self.mebibytes * 1024 * 1024
        return f"{self.undo.path} of {self.target.place} has {size} bytes" if full else ""


@dataclass(frozen=True)
class Empty:
    """Remove the written file, or the remains of a pod that was evicted for it."""

    kind: ClassVar[str] = "empty"
    namespace: str
    pod: str
    uid: str
    container: str
    folder: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{_FILE}"

    @property
    def parameters(self) -> Mapping[str, str]:
        return dict(vars(self))

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Empty:
        fields = ("namespace", "pod", "uid", "container", "folder")
        return cls(*(parameters[field] for field in fields))

    def perform(self, site: Site) -> None:
        pod = _pod(site, self)
        if pod is None:
            return
        if pod.status.phase not in _OVER:
            run_in(site, self, "rm", "-f", self.path)
            return
        same = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=self.uid))
        try:
            site.core.delete_namespaced_pod(self.pod, self.namespace, body=same)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise ClusterError(f"pod {self.pod} cannot be removed: {error.reason}") from error


def put_out(site: Site, where: Empty) -> bool:
    """Whether the pod is gone, or only its finished remains are left."""
    pod = _pod(site, where)
    return pod is None or pod.status.phase in _OVER


def run_in(site: Site, where: Empty, *argv: str) -> str:
    """The output of a program run in the container. Raises ClusterError."""
    return site.execute(where.namespace, where.pod, where.container, *argv)


def _pod(site: Site, where: Empty) -> Any:
    """The same pod, by uid; None where it is gone or another pod has its name."""
    pod = containers.pod(site, where.namespace, where.pod)
    return pod if pod is not None and pod.metadata.uid == where.uid else None
