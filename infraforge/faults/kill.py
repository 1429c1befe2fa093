"""Kill a pod, or the processes of one container: what it held in memory is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import targets
from infraforge.faults.base import Undo
from infraforge.wait import wait_until


@dataclass(frozen=True)
class KillPod:
    """Delete one pod of `component` with a grace period of 1 s; its controller makes another.

    Not with 0: then the pod would vanish from the API while its processes may still run.
    """

    component: str

    def describe(self) -> str:
        return f"kill a pod of {self.component}"

    def aim(self, site: Site) -> Deletion:
        return Deletion(
            targets.find(site, self.component),
            BackToStrength.of(site, self.component),
        )


@dataclass(frozen=True)
class KillContainer:
    """Send SIGKILL to all processes of one container of `component`; the kubelet restarts it."""

    component: str
    container: str = ""

    def describe(self) -> str:
        return f"kill the {self.container or 'main'} container of {self.component}"

    def aim(self, site: Site) -> Sigkill:
        containers.nodes(site)
        return Sigkill(
            targets.find(site, self.component, self.container),
            BackToStrength.of(site, self.component),
        )


@dataclass(frozen=True)
class Deletion:
    """The deletion of one pod."""

    lasting: ClassVar[bool] = False
    target: containers.Container
    undo: Undo

    def strike(self, site: Site) -> None:
        only_this_one = client.V1DeleteOptions(
            grace_period_seconds=1, preconditions=client.V1Preconditions(uid=self.target.uid)
        )
        try:
            site.core.delete_namespaced_pod(
                self.target.pod, self.target.namespace, body=only_this_one
            )
        except client.ApiException as error:
            raise ClusterError(f"{self.target.place} cannot be deleted: {error.reason}") from error

    def took_effect(self, site: Site) -> str:
        pod = containers.pod(site, self.target.namespace, self.target.pod)
        if pod is None:
            return f"{self.target.place} is gone"
        if pod.metadata.uid == self.target.uid:
            return ""
        return f"{self.target.place}: uid {self.target.uid} is now {pod.metadata.uid}"


@dataclass(frozen=True)
class Sigkill:
    """SIGKILL for one container."""

    lasting: ClassVar[bool] = False
    target: containers.Container
    undo: Undo

    def strike(self, site: Site) -> None:
        victim = self.target
        containers.ctr(
            site, victim.node, "task", "kill", "--all", "-s", "SIGKILL", victim.container_id
        )

    def took_effect(self, site: Site) -> str:
        now = containers.again(site, self.target)
        if now is None or now.uid != self.target.uid or now.restarts <= self.target.restarts:
            return ""
        return f"{self.target.place}: restarts {self.target.restarts} → {now.restarts}"


@dataclass(frozen=True)
class BackToStrength:
    """A kill ends by itself: wait until as many pods of the component are ready as before it."""

    kind: ClassVar[str] = "back-to-strength"
    component: str
    ready: int
    within: float

    @classmethod
    def of(cls, site: Site, component: str) -> BackToStrength:
        """For the component in its present state, within the profile's budget for a component."""
        ready = ready_pods(site, component)
        if ready == 0:
            raise ClusterError(
                f"{component} has no ready pod before the fault, so the fault would prove nothing; "
                f"see: infraforge status"
            )
        return cls(component, ready, site.profile.budgets.component)

    @property
    def parameters(self) -> Mapping[str, str]:
        return {
            "component": self.component,
            "ready": str(self.ready),
            "within": str(self.within),
        }

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> BackToStrength:
        return cls(parameters["component"], int(parameters["ready"]), float(parameters["within"]))

    def perform(self, site: Site) -> None:
        wait_until(
            lambda: ready_pods(site, self.component) >= self.ready,
            self.within,
            what=f"{self.ready} pods of {self.component} are ready",
        )


def ready_pods(site: Site, component: str) -> int:
    """The number of the component's ready pods."""
    return sum(
        any(
            condition.type == "Ready" and condition.status == "True"
            for condition in pod.status.conditions or ()
        )
        for pod in containers.pods(site, component)
    )
