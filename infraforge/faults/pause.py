"""A component's container is frozen: it answers nobody, keeps its memory, and can resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.faults import targets
from infraforge.wait import seconds, wait_until

_GOES_ON_WITHIN = seconds(60)  # generous: a fault that is not undone in time stays open


@dataclass(frozen=True)
class Pause:
    """Freeze one container of `component` (`container`: which, else its main one).

    The kubelet's probes fail meanwhile. The pause must end before the liveness probe gives up, or
    the kubelet restarts the container and its memory is lost. The nemesis notices that.
    """

    component: str
    container: str = ""

    def describe(self) -> str:
        return f"pause {self.component}"

    def aim(self, site: Site) -> Freeze:
        containers.nodes(site)
        return Freeze(targets.find(site, self.component, self.container))


@dataclass(frozen=True)
class Freeze:
    """A pause aimed at one container."""

    lasting: ClassVar[bool] = True
    target: containers.Container

    @property
    def undo(self) -> Resume:
        return Resume(self.target.node, self.target.container_id)

    def strike(self, site: Site) -> None:
        containers.ctr(site, self.target.node, "task", "pause", self.target.container_id)

    def took_effect(self, site: Site) -> str:
        state = task_state(
            containers.ctr(site, self.target.node, "task", "ls"), self.target.container_id
        )
        if state != "PAUSED":
            return ""
        return f"{self.target.place}: containerd says {state} of {self.target.container_id[:12]}"


@dataclass(frozen=True)
class Resume:
    """Resume a paused container; nothing to do where it runs or is gone."""

    kind: ClassVar[str] = "resume"
    node: str
    container_id: str

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"node": self.node, "container_id": self.container_id}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Resume:
        return cls(parameters["node"], parameters["container_id"])

    def perform(self, site: Site) -> None:
        if self._state(site) in ("PAUSED", "PAUSING"):
            containers.ctr(site, self.node, "task", "resume", self.container_id)
        wait_until(
            lambda: self._state(site) not in ("PAUSED", "PAUSING"),
            _GOES_ON_WITHIN,
            what=f"container {self.container_id[:12]} runs again",
        )

    def _state(self, site: Site) -> str:
        return task_state(containers.ctr(site, self.node, "task", "ls"), self.container_id)


def task_state(listing: str, container_id: str) -> str:
    """The container's state in `ctr task ls` (columns TASK, PID, STATUS); "" where it is not."""
    for line in listing.splitlines():
        columns = line.split()
        if len(columns) == 3 and columns[0] == container_id:
            return columns[2]
    return ""
