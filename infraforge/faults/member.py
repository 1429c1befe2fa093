"""A whole member of PostgreSQL: killed, frozen, held down, or asked to hand over."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, LiteralString

import psycopg
from kubernetes import client

from infraforge.components import containers
from infraforge.components.containers import Container
from infraforge.components.postgres import Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError, TimedOut
from infraforge.faults import after, roles
from infraforge.faults.after import After
from infraforge.faults.kill import Deletion, Sigkill
from infraforge.faults.pause import Freeze, Resume
from infraforge.faults.roles import AllStreaming, Role, Who
from infraforge.wait import seconds, wait_until

_DROP_LOST: LiteralString = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = %s AND wal_status = 'lost' AND NOT active
"""
_BY_ITSELF = seconds(30)
"""In which a member that was away, and can follow, streams again."""


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
        waits = AllStreaming.of(site)
        return MemberFreeze(Freeze(roles.find(site, self.who)), waits)


@dataclass(frozen=True)
class MemberFreeze:
    """A freeze of one member. The liveness probe may end it: it is not one that lasts."""

    lasting: ClassVar[bool] = False
    freeze: Freeze
    after: After

    @property
    def undo(self) -> ResumeMember:
        return ResumeMember(self.freeze.undo, self.after)

    def strike(self, site: Site) -> None:
        self.freeze.strike(site)

    def took_effect(self, site: Site) -> str:
        return self.freeze.took_effect(site)


@dataclass(frozen=True)
class ResumeMember:
    """Let a frozen member go on, and wait until all are well."""

    kind: ClassVar[str] = "resume-member"
    resume: Resume
    after: After

    @property
    def parameters(self) -> Mapping[str, str]:
        return {**self.resume.parameters, **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> ResumeMember:
        return cls(Resume.restored(parameters), after.restored(parameters))

    def perform(self, site: Site) -> None:
        self.resume.perform(site)
        self.after.perform(site)


@dataclass(frozen=True)
class HoldMemberDown:
    """Delete a member's pod while its node takes no new one: its volume is there alone.

    Merely killed it may be back before another is promoted, and lead again. for_long: until the
    others have let go of what it needs to follow: it is cloned anew where it cannot.
    """

    who: Who = Role.PRIMARY
    for_long: bool = False

    def describe(self) -> str:
        return f"hold {roles.words(self.who)} down{' for long' if self.for_long else ''}"

    def aim(self, site: Site) -> Holding:
        waits = AllStreaming.of(site)
        target = roles.find(site, self.who)
        if unschedulable(site, target.node):
            raise ClusterError(f"{target.node} takes no pods before the fault")
        anew = target.pod if self.for_long else ""
        return Holding(target, Uncordon(target.node, waits, anew))


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
        return has_no_node(site, self.target)


@dataclass(frozen=True)
class Uncordon:
    """Let the node take pods again, and wait until all members are well.

    anew: the member that is cloned anew where it does not stream by itself; "" for none.
    """

    kind: ClassVar[str] = "uncordon"
    node: str
    after: After
    anew: str = ""

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"node": self.node, "anew": self.anew, **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Uncordon:
        waits = after.restored(parameters)
        return cls(parameters["node"], waits, parameters.get("anew", ""))

    def perform(self, site: Site) -> None:
        cordon(site, self.node, unschedulable=False)
        if self.anew and not _streams(site, self.anew):
            _clone_anew(site, self.anew, self.after.within)
        self.after.perform(site)


@dataclass(frozen=True)
class Switchover:
    """Ask Patroni to hand the leadership to the synchronous standby, as for maintenance."""

    def describe(self) -> str:
        return "switch over to the synchronous standby"

    def aim(self, site: Site) -> HandingOver:
        waits = AllStreaming.of(site)
        found = Postgres().look(site)
        return HandingOver(found.primary, found.synchronous[0], waits)


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


def has_no_node(site: Site, target: Container) -> str:
    """Its successor waits for a node. Of one that is merely on its way nothing is known yet."""
    pod = containers.pod(site, target.namespace, target.pod)
    if pod is None or pod.metadata.uid == target.uid:
        return ""
    for condition in pod.status.conditions or ():
        if (condition.type, condition.status) == ("PodScheduled", "False"):
            return f"{target.place} has no node: {condition.message}"
    return ""


def cordon(site: Site, node: str, *, unschedulable: bool) -> None:
    """Whether the node takes pods. Raises ClusterError."""
    # null, and not false, takes it away: it is as it was then
    change: dict[str, Any] = {"spec": {"unschedulable": True if unschedulable else None}}
    try:
        site.core.patch_node(node, change)
    except client.ApiException as error:
        raise ClusterError(f"node {node} cannot be changed: {error.reason}") from error


def slot_of(pod: str) -> str:
    """The name of the replication slot that Patroni keeps for that member."""
    return pod.replace("-", "_")


def _streams(site: Site, pod: str) -> bool:
    """Whether that member leads or streams, or does so soon."""

    def there() -> bool:
        found = Postgres().look(site)
        return pod in (found.primary, *found.streaming)

    with contextlib.suppress(TimedOut):
        return wait_until(there, _BY_ITSELF, every=1.0, ignoring=(ClusterError,))
    return False


def _clone_anew(site: Site, pod: str, within: float) -> None:
    """Have Patroni throw the member's data away and clone the primary's. Raises TimedOut.

    Patroni does neither by itself where the WAL is gone (4.0.7): it keeps a slot that is lost, from
    which nobody can stream (https://github.com/patroni/patroni/issues/3641), and it clones a member
    anew only when it is asked to, as by `patronictl reinit`. A slot that is gone it makes again.
    """

    def begun() -> bool:
        try:
            with Postgres().connect(site, "postgres") as connection:
                connection.execute(_DROP_LOST, (slot_of(pod),))
        except psycopg.Error as error:
            raise ClusterError(f"the slot of {pod} cannot be dropped: {error}") from error
        Postgres().patroni(site, pod, "POST", "reinitialize", {"force": True})
        return True

    wait_until(
        begun, within, every=1.0, ignoring=(ClusterError,), what=f"{pod} begins to be cloned anew"
    )


def unschedulable(site: Site, node: str) -> bool:
    """Whether the node takes no new pods. Raises ClusterError."""
    try:
        found: Any = site.core.read_node(node)
    except client.ApiException as error:
        raise ClusterError(f"node {node} cannot be read: {error.reason}") from error
    return bool(found.spec.unschedulable)
