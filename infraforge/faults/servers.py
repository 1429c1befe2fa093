"""One server of a Redis group, or one sentinel: killed, frozen, held down, cut off, or replaced.

What is waited for in the end is the same for all: one master, all replicas linked, and sentinels
that agree. `on_top`: the group is already broken by another fault of the same test, whose undo is
the one that waits.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infraforge.components import containers, redis_members
from infraforge.components.containers import Container
from infraforge.components.redis_members import GROUPS
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import cut, groups, member
from infraforge.faults.cut import Cut, Place, Reconnect
from infraforge.faults.groups import Position, Server, WholeGroup
from infraforge.faults.kill import Deletion, Sigkill
from infraforge.faults.member import MemberFreeze, Uncordon
from infraforge.faults.pause import Freeze

CLIENTS: Mapping[str, Sequence[str]] = {"cache": ("backend",), "sessions": ("oauth2-proxy",)}
"""Group → the components that use it."""


class Away(enum.Enum):
    """Whom a server is cut off from."""

    EVERYBODY = "everybody"
    SENTINELS = "the sentinels"
    MEMBERS = "the other members"
    CLIENTS = "the clients"
    MASTER = "the master"


@dataclass(frozen=True)
class KillServer:
    """SIGKILL to all processes of a server's container. The kubelet starts it again at once."""

    group: str
    server: Server = Position.MASTER
    on_top: bool = False

    def describe(self) -> str:
        return f"crash {groups.words(self.group, self.server)}"

    def aim(self, site: Site) -> Sigkill:
        containers.nodes(site)
        undo = _after(site, self.group, self.on_top)
        return Sigkill(groups.find(site, self.group, self.server), undo)


@dataclass(frozen=True)
class DeleteServer:
    """Delete a server's pod with a second's grace; its successor has another address."""

    group: str
    server: Server = Position.MASTER
    on_top: bool = False

    def describe(self) -> str:
        return f"kill the pod of {groups.words(self.group, self.server)}"

    def aim(self, site: Site) -> Deletion:
        undo = _after(site, self.group, self.on_top)
        return Deletion(groups.find(site, self.group, self.server), undo)


@dataclass(frozen=True)
class FreezeServer:
    """Freeze a server's whole container, until the kubelet kills it or it is undone.

    Undone after another was promoted, it is a deposed master that wakes up.
    """

    group: str
    server: Server = Position.MASTER
    on_top: bool = False

    def describe(self) -> str:
        return f"freeze {groups.words(self.group, self.server)}"

    def aim(self, site: Site) -> MemberFreeze:
        containers.nodes(site)
        waits = _after(site, self.group, self.on_top)
        return MemberFreeze(Freeze(groups.find(site, self.group, self.server)), waits)


@dataclass(frozen=True)
class HoldServerDown:
    """SIGKILL to a server, whose pod is then deleted while no node takes its successor.

    Nothing is handed over, and its name leads nowhere. Merely killed it would be back before
    another one is promoted.
    """

    group: str
    server: Server = Position.MASTER
    on_top: bool = False

    def describe(self) -> str:
        return f"crash and hold down {groups.words(self.group, self.server)}"

    def aim(self, site: Site) -> HoldingDown:
        containers.nodes(site)
        waits = _after(site, self.group, self.on_top)
        target = groups.find(site, self.group, self.server)
        if member.unschedulable(site, target.node):
            raise ClusterError(f"{target.node} takes no pods before the fault")
        return HoldingDown(target, Uncordon(target.node, waits))


@dataclass(frozen=True)
class HoldingDown:
    """A server about to be killed and held down."""

    lasting: ClassVar[bool] = True
    target: Container
    undo: Uncordon

    def strike(self, site: Site) -> None:
        member.cordon(site, self.target.node, unschedulable=True)
        Sigkill(self.target, self.undo.after).strike(site)
        Deletion(self.target, self.undo.after).strike(site)

    def took_effect(self, site: Site) -> str:
        return member.has_no_node(site, self.target)


@dataclass(frozen=True)
class CutServerOff:
    """Drop all packets between a server and whom it is cut off from, until it is undone.

    In its pod's own network: what comes by a port-forward, over loopback, still gets through.
    """

    group: str
    away: Away = Away.EVERYBODY
    server: Server = Position.MASTER
    on_top: bool = False

    def describe(self) -> str:
        return f"cut {groups.words(self.group, self.server)} off from {self.away.value}"

    def aim(self, site: Site) -> Cut:
        containers.nodes(site)
        waits = _after(site, self.group, self.on_top)
        target = groups.find(site, self.group, self.server)
        places = (Place.of(site, target),)
        return Cut(Reconnect(places, waits), self._rules(site, target.pod))

    def _rules(self, site: Site, pod: str) -> list[cut.Rule]:
        if self.away is Away.EVERYBODY:
            return cut.everybody()
        own, _ = GROUPS[self.group]
        others: Mapping[Away, Sequence[str]] = {
            Away.SENTINELS: (redis_members.SENTINEL,),
            Away.MEMBERS: (own,),
            Away.CLIENTS: CLIENTS[self.group],
            Away.MASTER: (own,),
        }
        left_out: Sequence[str] = ()
        if self.away is Away.MASTER:
            left_out = groups.component(self.group).look(site).linked
        addresses = [
            str(one.status.pod_ip)
            for component in others[self.away]
            for one in containers.pods(site, component)
            if one.metadata.name not in (pod, *left_out) and one.status.pod_ip
        ]
        if not addresses:
            raise ClusterError(f"{pod}: nobody is there to be cut off from ({self.away.value})")
        return cut.between(addresses)


@dataclass(frozen=True)
class PromoteAnother:
    """Have the sentinels promote a replica, as for maintenance."""

    group: str

    def describe(self) -> str:
        return f"promote another {self.group}"

    def aim(self, site: Site) -> Promotion:
        after, found = WholeGroup.seen(site, self.group)
        return Promotion(self.group, found.master, after)


@dataclass(frozen=True)
class Promotion:
    """A planned change of a group's master."""

    lasting: ClassVar[bool] = False
    group: str
    old: str
    undo: WholeGroup

    def strike(self, site: Site) -> None:
        RedisSentinel().promote_another(site, self.group)

    def took_effect(self, site: Site) -> str:
        now = redis_members.latest(RedisSentinel().views(site, self.group))
        if now is None or now.master == self.old:
            return ""
        return f"{now.sentinel} says {now.master}, by promotion {now.epoch}"


def _after(site: Site, group: str, on_top: bool) -> WholeGroup:
    if on_top:
        return WholeGroup(group, 0, 0, 0.0)
    return WholeGroup.of(site, group)
