"""The kinds of failover that are measured, each with its fault and with what it must reach."""

from __future__ import annotations

from dataclasses import dataclass

from infraforge import faults
from infraforge.faults.base import Fault

PAIR = 2
THAWED_BEFORE_KILLED = 100
"""Elements that take less than a second: a frozen member goes on before its liveness probe kills
it, nine seconds after the freeze at the soonest."""
LONGEST = 100
"""As a percentile."""


@dataclass(frozen=True)
class Kind:
    """One kind of failover.

    share: the percentile that is held against the bound, 100 for the longest; most: that bound in
    seconds; after_ttl: whether Patroni's ttl comes on top of it; members: how many it takes;
    peers: whether plain Patroni and a raw promotion get the same fault; after: elements that must
    be acknowledged after the fault before it is undone.
    """

    name: str
    what: str
    fault: Fault
    share: int
    most: float
    after_ttl: bool = False
    members: int = PAIR
    peers: bool = False
    after: int = 1000

    def bound(self, ttl: float) -> float:
        """Seconds that it must not pass. ttl: Patroni's, in seconds."""
        return self.most + (ttl if self.after_ttl else 0.0)

    @property
    def statistic(self) -> str:
        """Which figure is held against the bound: `p95`, or `max`."""
        return "max" if self.share == LONGEST else f"p{self.share}"

    @property
    def promise(self) -> str:
        """In words, without knowing the ttl."""
        return f"{self.statistic} at most {'ttl + ' if self.after_ttl else ''}{self.most:g} s"


KINDS = (
    Kind(
        "crash",
        "the primary's postmaster is killed",
        faults.KillPostmaster(),
        share=95,
        most=3.5,
        peers=True,
    ),
    Kind(
        "crash-third-silent",
        "the same, while a standby that nobody waits for is frozen",
        faults.Together((faults.FreezeMember(faults.Role.OTHER), faults.KillPostmaster())),
        share=95,
        most=6.0,
        members=3,
        after=THAWED_BEFORE_KILLED,
    ),
    # Not a freeze: the liveness probe kills a frozen member before its lock ends, and it comes back
    # as the leader that it was. One that is cut off from everybody stays away.
    Kind(
        "silent",
        "the primary is cut off from everybody",
        faults.CutOff(faults.Role.PRIMARY, faults.From.EVERYBODY),
        share=LONGEST,
        most=4.0,
        after_ttl=True,
    ),
    Kind(
        "switchover",
        "Patroni is asked to hand over",
        faults.Switchover(),
        share=LONGEST,
        most=3.0,
    ),
    Kind(
        "standby-frozen",
        "the standby that commits wait for is frozen",
        faults.FreezeMember(faults.Role.SYNCHRONOUS),
        share=LONGEST,
        most=7.0,
        after=THAWED_BEFORE_KILLED,
    ),
)
NAMES = tuple(kind.name for kind in KINDS)
RATIO = 1.4
"""What a crash may take at most, as a multiple of what it takes plain Patroni processes."""


def named(name: str) -> Kind:
    """The kind of that name. Raises KeyError where there is none."""
    return {kind.name: kind for kind in KINDS}[name]
