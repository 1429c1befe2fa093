"""Which server of a Redis group or which sentinel a fault is about, and when all are well again."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infraforge import components
from infraforge.components import containers, redis_members
from infraforge.components.containers import Container
from infraforge.components.redis import RedisComponent
from infraforge.components.redis_members import GROUPS, Members
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import wait_until


class Position(enum.Enum):
    """What a server of a group is at the moment a fault is aimed."""

    MASTER = "the master"
    REPLICA = "a replica"


Server = Position | str
"""A position, or a pod's name: a member's or a sentinel's."""


def words(group: str, server: Server) -> str:
    """For a fault's description."""
    return f"{server.value} of {group}" if isinstance(server, Position) else server


def component(group: str) -> RedisComponent:
    """The component that the sentinels call so. Raises ClusterError where none is."""
    name, _ = GROUPS[group]
    found = components.load(name)
    if not isinstance(found, RedisComponent):
        raise ClusterError(f"{name} is no group of Redis servers")
    return found


def find(site: Site, group: str, server: Server) -> Container:
    """That server's running container. Raises ClusterError where there is none."""
    if isinstance(server, str):
        return containers.find(site, server.rpartition("-")[0], in_pod=server)
    own = component(group)
    pod = own.master(site)
    if server is Position.REPLICA:
        linked = own.look(site).linked
        if not linked:
            raise ClusterError(f"{group} has no replica that follows {pod}")
        pod = linked[0]
    return containers.find(site, own.name, in_pod=pod)


@dataclass(frozen=True)
class WholeGroup:
    """Wait until one master has all its replicas, and all sentinels agree on that.

    members, sentinels: how many there are; 0 members: nobody is waited for; within: seconds.
    """

    kind: ClassVar[str] = "whole-group"
    group: str
    members: int
    sentinels: int
    within: float

    @classmethod
    def of(cls, site: Site, group: str) -> WholeGroup:
        """For the members that the profile has, within its budget for a component.

        Raises ClusterError where they are not whole before the fault: it would prove nothing.
        """
        return cls.seen(site, group)[0]

    @classmethod
    def seen(cls, site: Site, group: str) -> tuple[WholeGroup, Members]:
        """The same, and the group as it was found."""
        name, _ = GROUPS[group]
        count = len(redis_members.of(site.profile, name))
        watching = len(redis_members.sentinels(site.profile))
        made = cls(group, count, watching, site.profile.budgets.component)
        return made, made.demand(site)

    def not_awaited(self) -> WholeGroup:
        """Waits for nobody: of several undos only the last one is to wait."""
        return WholeGroup(self.group, 0, 0, 0.0)

    @property
    def parameters(self) -> Mapping[str, str]:
        return {
            "group": self.group,
            "members": str(self.members),
            "sentinels": str(self.sentinels),
            "within": str(self.within),
        }

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> WholeGroup:
        return cls(
            parameters["group"],
            int(parameters["members"]),
            int(parameters["sentinels"]),
            float(parameters["within"]),
        )

    def demand(self, site: Site) -> Members:
        """The group. Raises ClusterError, with what is seen, where it is not whole."""
        found = component(self.group).look(site)
        if not found.whole(self.members, self.sentinels):
            raise ClusterError(f"{self.group} is not whole: {found}")
        return found

    def perform(self, site: Site) -> None:
        if not self.members:
            return
        wait_until(
            lambda: self.demand(site),
            self.within,
            what=f"{self.group}: one master, {self.members - 1} replicas, all sentinels agree",
            every=1.0,
            ignoring=(ClusterError,),
        )
