"""A whole member of PostgreSQL: killed, frozen, held down, or asked to hand over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes import client

from infraforge.components import containers
from infraforge.components.containers import Container
from infraforge.components.postgres import Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import roles
from infraforge.faults.kill import Deletion, Sigkill
from infraforge.faults.pause import Freeze, Resume
from infraforge.faults.roles import AllStreaming, Role, Who


@dataclass(frozen=True)
class KillMember:
    """Delete a member's pod with a second's grace: Patroni gets to hand the leadership back."""

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"kill the pod of {roles.words(self.who)}"

    def aim(self, site: Site) -> Deletion:
        undo = AllStreaming.of(site)
        return Deletion(roles.find(site, self.who), undo)


@dataclass(frozen=True)
class CrashMember:
    """SIGKILL to all processes of a member's container: nobody hands anything back."""

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"crash {roles.words(self.who)}"

    def aim(self, site: Site) -> Sigkill:
        containers.nodes(site)
        undo = AllStreaming.of(site)
        return Sigkill(roles.find(site, self.who), undo)


@dataclass(frozen=True)
class FreezeMember:
    """Freeze a member's whole container, until the kubelet kills it or it is undone."""

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"freeze {roles.words(self.who)}"

    def aim(self, site: Site) -> MemberFreeze:
        containers.nodes(site)
        after = AllStreaming.of(site)
        return MemberFreeze(Freeze(roles.find(site, self.who)), after)


@dataclass(frozen=True)
class MemberFreeze:
    """A freeze of one member. The liveness probe may end it: it is not one that lasts."""

    lasting: ClassVar[bool] = False
    freeze: Freeze
    after: AllStreaming

    @property
    def undo(self) -> ResumeMember:
        return ResumeMember(self.freeze.undo, self.after)

    def strike(self, site: Site) -> None:
        self.freeze.strike(site)

    def took_effect(self, site: Site) -> str:
        return self.freeze.took_effect(site)


@dataclass(frozen=True)
class ResumeMember:
    """Let a frozen member go on, and wait until all stream."""

    kind: ClassVar[str] = "resume-member"
    resume: Resume
    after: AllStreaming

    @property
    def parameters(self) -> Mapping[str, str]:
        return {**self.resume.parameters, **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> ResumeMember:
        return cls(Resume.restored(parameters), AllStreaming.restored(parameters))

    def perform(self, site: Site) -> None:
        self.resume.perform(site)
        self.after.perform(site)


@dataclass(frozen=True)
class HoldMemberDown:
    """Delete a member's pod while its node takes no new one: its volume is there alone.

    Merely killed it may be back before another is promoted, and lead again.
    """

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"hold {roles.words(self.who)} down"

    def aim(self, site: Site) -> Holding:
        after = AllStreaming.of(site)
        target = roles.find(site, self.who)
        if _unschedulable(site, target.node):
            raise ClusterError(f"{target.node} takes no pods before the fault")
        return Holding(target, Uncordon(target.node, after))


@dataclass(frozen=True)
class Holding:
    """A member about to be held down."""

    lasting: ClassVar[bool] = True
    target: Container
    undo: Uncordon

    def strike(self, site: Site) -> None:
        cordon(site, self.target.node, unschedulable=True)
        Deletion(self.target, self.undo.after).strike(site)

    def took_effect(self, site: Site) -> str:
        """Its successor waits for a node. Of one that is merely on its way nothing is known yet."""
        pod = containers.pod(site, self.target.namespace, self.target.pod)
        if pod is None or pod.metadata.uid == self.target.uid:
            return ""
        for condition in pod.status.conditions or ():
            if (condition.type, condition.status) == ("PodScheduled", "False"):
                return f"{self.target.place} has no node: {condition.message}"
        return ""


@dataclass(frozen=True)
class Uncordon:
    """Let the node take pods again, and wait until all members stream."""

    kind: ClassVar[str] = "uncordon"
    node: str
    after: AllStreaming

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"node": self.node, **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Uncordon:
        return cls(parameters["node"], AllStreaming.restored(parameters))

    def perform(self, site: Site) -> None:
        cordon(site, self.node, unschedulable=False)
        self.after.perform(site)


@dataclass(frozen=True)
class Switchover:
    """Ask Patroni to hand the leadership to the synchronous standby, as for maintenance."""

    def describe(self) -> str:
        return "switch over to the synchronous standby"

    def aim(self, site: Site) -> HandingOver:
        after = AllStreaming.of(site)
        found = Postgres().look(site)
        return HandingOver(found.primary, found.synchronous[0], after)


@dataclass(frozen=True)
class HandingOver:
    """A switchover from one member to another."""

    lasting: ClassVar[bool] = False
    old: str
    new: str
    undo: AllStreaming

    def strike(self, site: Site) -> None:
        wanted = {"leader": self.old, "candidate": self.new}
        Postgres().patroni(site, self.old, "POST", "switchover", wanted)

    def took_effect(self, site: Site) -> str:
        now = Postgres().primary(site)
        return f"{now} took over from {self.old}" if now == self.new else ""


def cordon(site: Site, node: str, *, unschedulable: bool) -> None:
    """Whether the node takes pods. Raises ClusterError."""
    # null, and not false, takes it away: it is as it was then
    change: dict[str, Any] = {"spec": {"unschedulable": True if unschedulable else None}}
    try:
        site.core.patch_node(node, change)
    except client.ApiException as error:
        raise ClusterError(f"node {node} cannot be changed: {error.reason}") from error


def _unschedulable(site: Site, node: str) -> bool:
    try:
        found: Any = site.core.read_node(node)
    except client.ApiException as error:
        raise ClusterError(f"node {node} cannot be read: {error.reason}") from error
    return bool(found.spec.unschedulable)
