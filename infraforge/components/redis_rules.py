"""Numbers of Redis' members and sentinels that cannot work together, and the rule each breaks.

Read from the configuration files that a profile's members and sentinels get; see `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from infraforge.cluster import overlays
from infraforge.components import redis_members
from infraforge.profile import Profile

_MONITOR = re.compile(r"^sentinel monitor (\S+) (\S+) \S+ (\d+)\s*$", re.MULTILINE)
_REPLICATED = "replicated"
_SLOW = 2
"""Seconds, at most, after the lag was reached until a master refuses writes: it counts whole ones,
and looks once a second."""


def troubles(profile: Profile, tree: Path) -> Iterator[str]:
    """What is wrong with the sentinels, and with the groups that they watch."""
    if redis_members.SENTINEL not in profile.components:
        return
    text = _text(profile, tree, redis_members.SENTINEL)
    sentinels = len(redis_members.sentinels(profile))
    for group, host, quorum in _MONITOR.findall(text):
        if int(quorum) > sentinels:
            yield (
                f"quorum {quorum} of {group} is more than the {sentinels} sentinels "
                "(the rule: quorum <= sentinels)"
            )
        component = host.partition(".")[2].partition("-internal.")[0]
        if component not in profile.components:
            yield f"the sentinels watch {group} at {host}, and the profile has no {component}"
            continue
        yield from _group(profile, tree, group, component, text)


def unwatched(profile: Profile, component: str) -> Iterator[str]:
    """Whether several servers of a group are one group: else each is a master of its own."""
    if component not in {name for name, _ in redis_members.GROUPS.values()}:
        return
    members = len(redis_members.of(profile, component))
    replicated = _REPLICATED in profile.components[component].get("overlays", ())
    if members > 1 and not replicated:
        yield (
            f"{members} servers, none of them a replica: each would be a master of its own "
            f'(the rule: replicas > 1 needs overlays = ["{_REPLICATED}"])'
        )
    if replicated and redis_members.SENTINEL not in profile.components:
        yield (
            "nobody tells its members who is master "
            f"(the rule: the overlay {_REPLICATED} needs components.{redis_members.SENTINEL})"
        )


def _group(
    profile: Profile, tree: Path, group: str, component: str, sentinel: str
) -> Iterator[str]:
    text = _text(profile, tree, component)
    wanted = _number(text, "min-replicas-to-write", 0)
    members = len(redis_members.of(profile, component))
    if wanted >= members:
        yield (
            f"{component} takes writes with {wanted} replicas, and there are {members} members in "
            "all (the rule: replicas >= 1 + min-replicas-to-write)"
        )
    # Redis' own values where nothing is set
    lag = _number(text, "min-replicas-max-lag", 10)
    down = _number(sentinel, f"sentinel down-after-milliseconds {group}", 30000) / 1000
    if wanted and down < lag + _SLOW:
        yield (
            f"{group} has another master after {down:g} s, and the first one takes writes for "
            f"{lag + _SLOW} s: two would take some (the rule: down-after >= min-replicas-max-lag "
            f"{lag} s + {_SLOW} s)"
        )


def _text(profile: Profile, tree: Path, component: str) -> str:
    """All of its configuration: of its folder, and of the overlays chosen, in this order."""
    folder = tree / "components" / component
    over = profile.components[component].get("overlays", ())
    folders: Sequence[Path] = (folder, *overlays.chosen(folder, over))
    return "\n".join(p.read_text() for place in folders for p in sorted(place.glob("*.conf")))


def _number(text: str, key: str, otherwise: int) -> int:
    """The last value set: what is read later counts."""
    found = re.findall(rf"^{re.escape(key)} (\d+)\s*$", text, re.MULTILINE)
    return int(found[-1]) if found else otherwise
