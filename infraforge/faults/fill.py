"""A container fills a folder of its own, as a log or an upload without a bound would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError

_FILE = "infraforge-fill"
_OVER = ("Failed", "Succeeded")
"""Phases of a pod that was put out: Succeeded where its programs ended well when they were told."""


@dataclass(frozen=True)
class Fill:
    """Write so many MiB into a folder of `component` (`container`: else its main one)."""

    component: str
    mebibytes: int
    folder: str = "/tmp"  # noqa: S108  the pod's own emptyDir
    container: str = ""

    def describe(self) -> str:
        return f"fill {self.folder} of {self.component} with {self.mebibytes} MiB"

    def aim(self, site: Site) -> Filling:
        target = containers.find(site, self.component, self.container)
        return Filling(target, self.folder, self.mebibytes)


@dataclass(frozen=True)
class Filling:
    """A folder about to be filled."""

    lasting: ClassVar[bool] = False  # the pod is put out for it, if all is well
    target: containers.Container
    folder: str
    mebibytes: int

    @property
    def undo(self) -> Empty:
        target = self.target
        return Empty(target.namespace, target.pod, target.uid, target.name, self.folder)

    def strike(self, site: Site) -> None:
        """Returns once it is written: the kubelet looks only now and then."""
        write = 'head -c "$1" /dev/zero > "$2"'
        size = str(self.mebibytes * 1024 * 1024)
        run_in(site, self.undo, "sh", "-c", write, "fill", size, self.undo.path)

    def took_effect(self, site: Site) -> str:
        if put_out(site, self.undo):
            return f"{self.target.place} was put out"
        size = int(run_in(site, self.undo, "stat", "-c", "%s", self.undo.path))
        full = size >= self.mebibytes * 1024 * 1024
        return f"{self.undo.path} of {self.target.place} has {size} bytes" if full else ""


@dataclass(frozen=True)
class Empty:
    """Take away what was written, or the remains of a pod that was put out for it."""

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
        found = _pod(site, self)
        if found is None:
            return
        if found.status.phase not in _OVER:
            run_in(site, self, "rm", "-f", self.path)
            return
        same = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=self.uid))
        try:
            site.core.delete_namespaced_pod(self.pod, self.namespace, body=same)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise ClusterError(f"pod {self.pod} cannot be removed: {error.reason}") from error


def put_out(site: Site, where: Empty) -> bool:
    """Whether the pod is there no more, or is there only as something that is over."""
    found = _pod(site, where)
    return found is None or found.status.phase in _OVER


def run_in(site: Site, where: Empty, *argv: str) -> str:
    """What a program says in the container. Raises ClusterError."""
    return site.execute(where.namespace, where.pod, where.container, *argv)


def _pod(site: Site, where: Empty) -> Any:
    """The very pod; None where it, or its name, is another's by now."""
    found = containers.pod(site, where.namespace, where.pod)
    return found if found is not None and found.metadata.uid == where.uid else None
