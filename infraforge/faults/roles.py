"""Which member of PostgreSQL a fault is about: one by its role now, or by its pod's name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infraforge.components import containers, members
from infraforge.components.containers import Container
from infraforge.components.postgres import Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import wait_until

COMPONENT = members.COMPONENT


class Role(enum.Enum):
    """What a member is at the moment a fault is aimed."""

    PRIMARY = "the primary"
    SYNCHRONOUS = "the synchronous standby"
    OTHER = "a standby that nobody waits for"


Who = Role | str
"""A role, or a pod's name: where two members are to be met, the second is named beforehand."""


def words(who: Who) -> str:
    """For a fault's description."""
    return who.value if isinstance(who, Role) else who


def pod_of(site: Site, who: Who) -> str:
    """The name of that member's pod. Raises ClusterError where no member is that."""
    if isinstance(who, str):
        return who
    if who is Role.PRIMARY:
        return Postgres().primary(site)
    found = Postgres().look(site)
    wanted = found.synchronous if who is Role.SYNCHRONOUS else found.asynchronous
    if not wanted:
        raise ClusterError(f"no member is {who.value}: {found.primary} is primary, and only that")
    return wanted[0]


def find(site: Site, who: Who) -> Container:
    """That member's running container. Raises ClusterError where there is none."""
    return containers.find(site, COMPONENT, in_pod=pod_of(site, who))


@dataclass(frozen=True)
class AllStreaming:
    """What befell a member ends by itself: wait until all members are there and stream.

    members: how many; within: seconds.
    """

    kind: ClassVar[str] = "all-streaming"
    members: int
    within: float

    @classmethod
    def not_awaited(cls) -> AllStreaming:
        """Waits for nobody: of several undos only the last one is to wait."""
        return cls(0, 0.0)

    @classmethod
    def of(cls, site: Site) -> AllStreaming:
        """For the members that the profile has, within its budget for a component.

        Raises ClusterError where they are not whole before the fault: it would prove nothing.
        """
        number = len(members.of(site.profile))
        found = Postgres().look(site)
        if not found.whole(number):
            raise ClusterError(f"not all of {number} members stream before the fault: {found}")
        return cls(number, site.profile.budgets.component)

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"members": str(self.members), "within": str(self.within)}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> AllStreaming:
        return cls(int(parameters["members"]), float(parameters["within"]))

    def perform(self, site: Site) -> None:
        if not self.members:
            return
        wait_until(
            lambda: Postgres().look(site).whole(self.members),
            self.within,
            what=f"all {self.members} members of PostgreSQL stream",
            every=1.0,
            ignoring=(ClusterError,),
        )
