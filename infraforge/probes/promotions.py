"""When another master was promoted, as the sentinels logged it, to the millisecond.

Asking them takes a second a sentinel; what they log has its time with it. The clock is the node's,
which of a KIND cluster is this machine's.
"""

from __future__ import annotations

import datetime
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from infraforge.components import containers, redis_members
from infraforge.components.site import Site
from infraforge.history import Call

_LINE = re.compile(
    r"^\d+:X (\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}) [#*.-] ([+-][\w-]+)(?: (.*))?$"
)
_SWITCH = "+switch-master"
_TILT = "+tilt"
_TAKING_OVER = ("+failover-state-wait-promotion", "+promoted-slave", _SWITCH)
"""A replica was told that it is no longer one; it said so; clients are told."""


@dataclass(frozen=True, order=True)
class Event:
    """A line of a sentinel's log. at: aware; name: as `+sdown`; words: what follows it."""

    at: datetime.datetime
    sentinel: str
    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.sentinel} {self.name} {' '.join(self.words)}".rstrip()


@dataclass(frozen=True)
class Seen:
    """What all sentinels logged since a moment, in the order of the clock."""

    events: tuple[Event, ...]

    def promotion(self, group: str, old: str) -> Event | None:
        """The first that names another master of the group than `old`; None where there is none."""
        for event in self.events:
            if event.name == _SWITCH and event.words[0] == group:
                before, after = (redis_members.pod_of(event.words[at]) for at in (1, 3))
                if before == old and after != old:
                    return event
        return None

    def taking_over(self, group: str) -> Event | None:
        """The first sign that another server of the group may take writes."""
        for event in self.events:
            if event.name in _TAKING_OVER and group in (event.words[0], *event.words[4:6]):
                return event
        return None

    def promotions(self, group: str) -> int:
        """How many the one sentinel logged that logged most."""
        told = (one for one in self.events if one.name == _SWITCH and one.words[0] == group)
        return max(Counter(one.sentinel for one in told).values(), default=0)

    @property
    def tilted(self) -> tuple[Event, ...]:
        """Sentinels that did not trust their own clock, and do nothing for 30 s."""
        return tuple(event for event in self.events if event.name == _TILT)

    def __str__(self) -> str:
        return "\n".join(map(str, self.events)) or "the sentinels logged nothing"


def parse(log: str, sentinel: str) -> list[Event]:
    """The events in a sentinel's output; other lines are passed over."""
    found = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match:
            at = datetime.datetime.strptime(match[1], "%d %b %Y %H:%M:%S.%f")
            aware = at.replace(tzinfo=datetime.UTC)
            found.append(Event(aware, sentinel, match[2], tuple((match[3] or "").split())))
    return found


def since(site: Site, moment: datetime.datetime) -> Seen:
    """From all sentinels that are there. Raises ClusterError where one cannot be read."""
    found: list[Event] = []
    for pod in containers.pods(site, redis_members.SENTINEL):
        name = str(pod.metadata.name)
        log = site.output(redis_members.SENTINEL_NAMESPACE, name, redis_members.SENTINEL, moment)
        found += [event for event in parse(log, name) if event.at >= moment]
    return Seen(tuple(sorted(found)))


def began(fault: Call) -> datetime.datetime:
    """When a fault of this process's nemesis was begun, on the clock of the wall."""
    return wall(fault.invoke.time)


def wall(monotonic: int) -> datetime.datetime:
    """A time of this machine's monotonic clock (ns) as one of the wall's, aware."""
    ago = (time.monotonic_ns() - monotonic) / 1e9
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=ago)


def describe(events: Sequence[Event]) -> str:
    """For a control's reason."""
    return "; ".join(map(str, events))
