"""What suites judge alike of a promotion: who was master, who is, how long it took, and by whom.

The terms that its budget is made of; `down-after` and `max-lag` are explained in the platform's own
files (redis-sentinel/sentinel.conf, replicated.conf of each group). That they are what is deployed
is not asked here: a platform with others has to keep these promises, too.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from infraforge.components import redis_members
from infraforge.components.redis_members import View
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive
from infraforge.faults import groups
from infraforge.history import Call
from infraforge.probes import promotions
from infraforge.probes.promotions import Seen
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until

DOWN_AFTER: Mapping[str, float] = {"cache": seconds(5), "sessions": seconds(3)}
MAX_LAG: Mapping[str, float] = {"cache": seconds(3), "sessions": seconds(1)}
STRUCK = seconds(2)
"""From the nemesis' record of a fault until it bites: up to ten commands on a node."""
PINGED = seconds(1)
"""A sentinel pings once a second, and `down-after` counts from the first ping without an answer."""
AGREED = seconds(1)
"""Sentinels ask each other once a second whether they, too, take a master for dead."""
ELECTED = seconds(1)
"""A sentinel waits up to a second before it asks for votes, so that not all ask at once."""
PROMOTED = seconds(2)
"""The replica says within a second that it is master; the other sentinels hear of it every 2 s."""
REFUSES = seconds(2)
"""A master counts its replicas' silence in whole seconds, once a second."""
CLIENTS = seconds(3)
"""Until clients have found the new master: one sentinel that is silent costs a second."""


def within(group: str) -> float:
    """Seconds from a master's failure until another one is named."""
    return DOWN_AFTER[group] + STRUCK + PINGED + AGREED + ELECTED + PROMOTED


def refused_within(group: str) -> float:
    """Seconds from the last word of a master's last replica until that master takes no write."""
    return MAX_LAG[group] + REFUSES


class Watched:
    """A group whose master is about to change. old: who is master before that.

    Raises ClusterError where nobody is, or the sentinels do not agree with it.
    """

    def __init__(self, site: Site, group: str) -> None:
        self._site, self.group = site, group
        self.old = groups.component(group).master(site)
        before = self._named()
        if before.master != self.old:
            raise ClusterError(f"{before.sentinel} says {before.master}, and {self.old} is master")
        self._since = datetime.datetime.now(datetime.UTC)

    def promoted(self) -> str:
        """The new master, once a sentinel names it. Raises Late within twice the budget and more.

        It only waits: asking takes seconds. `took` says when it was, from the sentinels' logs.
        """
        return wait_until(
            lambda: self._named().master.removeprefix(self.old),
            3 * within(self.group),
            what=f"{self.group} has another master than {self.old}",
            ignoring=(ClusterError,),
            broken=True,
        )

    def seen(self) -> Seen:
        """What the sentinels logged since this was made. Raises ClusterError."""
        return promotions.since(self._site, self._since)

    def took(self, fault: Call, seen: Seen) -> float:
        """Seconds from before the fault until a sentinel named the new master.

        Raises Inconclusive where none did, or where one stood still meanwhile and so did nothing.
        """
        event = seen.promotion(self.group, self.old)
        tilted = [one for one in seen.tilted if event is None or one.at < event.at]
        control(not tilted, f"a sentinel stood still: {promotions.describe(tilted)}")
        if event is None:
            raise Inconclusive(f"no sentinel logged a promotion of {self.group}")
        return (event.at - promotions.began(fault)).total_seconds()

    def _named(self) -> View:
        view = redis_members.latest(RedisSentinel().views(self._site, self.group))
        if view is None:
            raise ClusterError("no sentinel answers")
        return view
