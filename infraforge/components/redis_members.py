"""Redis' members and sentinels by name, and what they say of each other.

What INFO says: https://redis.io/docs/latest/commands/info/; a sentinel:
https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/ (8.0.2).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infraforge.cluster import manifests
from infraforge.profile import Profile

SENTINEL = "redis-sentinel"
SENTINEL_NAMESPACE = "infraforge-access"
SENTINEL_PORT = 26379
VARIABLE = "REDIS_SENTINELS"
GROUPS: Mapping[str, tuple[str, str]] = {
    "cache": ("redis-cache", "infraforge-data"),
    "sessions": ("redis-sessions", SENTINEL_NAMESPACE),
}
"""What sentinels call a group → its component and that one's namespace."""
_USUAL = 3


@dataclass(frozen=True)
class Replica:
    """A member that is no master. Names are pods' names.

    of: whose replica it is; linked: whether it has a copy and follows; lag: whole seconds since the
    master heard of it, as the master counts; None where the master does not know it as online.
    """

    pod: str
    of: str
    linked: bool
    lag: int | None


@dataclass(frozen=True)
class View:
    """What one sentinel says of a group.

    epoch: of the promotion that made this one master, 0 before the first; flags: of the master, as
    `s_down`; sentinels: how many it knows, itself included; replicas: how many it knows.
    """

    sentinel: str
    master: str
    epoch: int
    flags: frozenset[str]
    sentinels: int
    replicas: int

    @classmethod
    def told(cls, sentinel: str, answer: Any) -> View:
        """Of the answer to SENTINEL MASTER, a list of keys and values or a mapping of them."""
        found = _pairs(answer)
        return cls(
            sentinel,
            pod_of(found["ip"]),
            int(found["config-epoch"]),
            frozenset(found["flags"].split(",")),
            1 + int(found["num-other-sentinels"]),
            int(found["num-slaves"]),
        )


@dataclass(frozen=True)
class Members:
    """A group as it is now: its master, the other members, and the sentinels that answered."""

    master: str
    replicas: tuple[Replica, ...]
    views: tuple[View, ...]

    @property
    def linked(self) -> tuple[str, ...]:
        """The replicas that follow this master and that it hears of."""
        return tuple(
            one.pod
            for one in self.replicas
            if one.of == self.master and one.linked and one.lag is not None
        )

    def whole(self, members: int, sentinels: int) -> bool:
        """Whether all of so many are there and agree: nobody is missing and nobody is a ghost."""
        return 1 + len(self.linked) == members and agreed(
            self.views, self.master, members, sentinels
        )


def agreed(views: Sequence[View], master: str, members: int, sentinels: int) -> bool:
    """Whether all of so many sentinels name this master, and know all members and each other."""
    wanted = (master, frozenset({"master"}), sentinels, members - 1)
    return len(views) == sentinels and all(
        (one.master, one.flags, one.sentinels, one.replicas) == wanted for one in views
    )


def latest(views: Iterable[View]) -> View | None:
    """The view that has the highest epoch: the others have not heard of the last promotion yet."""
    return max(views, key=lambda view: view.epoch, default=None)


def replica(pod: str, own: Mapping[str, Any], masters: Mapping[str, Any]) -> Replica:
    """Of what INFO says at this replica, and at the master."""
    lag = None
    for key, value in masters.items():
        if not (key.startswith("slave") and isinstance(value, Mapping)):
            continue
        if pod_of(str(value["ip"])) == pod and value["state"] == "online":
            lag = int(value["lag"])
    return Replica(pod, pod_of(str(own["master_host"])), own["master_link_status"] == "up", lag)


def of(profile: Profile, component: str) -> list[str]:
    """The names of a group's pods in this profile; of one where it does not say how many."""
    settings = profile.components.get(component, {})
    return [f"{component}-{number}" for number in range(int(settings.get("replicas", 1)))]


def sentinels(profile: Profile) -> list[str]:
    """The names of the sentinels' pods in this profile; none where it has no sentinels."""
    settings = profile.components.get(SENTINEL)
    count = 0 if settings is None else int(settings.get("replicas", _USUAL))
    return [f"{SENTINEL}-{number}" for number in range(count)]


def full_name(component: str, namespace: str, pod: str) -> str:
    """A member's own name, which its certificate has."""
    return f"{pod}.{domain(component, namespace)}"


def domain(component: str, namespace: str) -> str:
    """What members' names end with."""
    return f"{component}-internal.{namespace}.svc.cluster.local"


def pod_of(name: str) -> str:
    """The pod behind a member's full name."""
    return name.partition(".")[0]


def places(pods: Sequence[str]) -> list[str]:
    """Where these sentinels answer: `HOST:PORT`."""
    return [f"{full_name(SENTINEL, SENTINEL_NAMESPACE, pod)}:{SENTINEL_PORT}" for pod in pods]


def named_in(objects: Sequence[manifests.Object], pods: Sequence[str]) -> list[manifests.Object]:
    """The same objects; containers that ask for `REDIS_SENTINELS` are told where these are."""
    changed = [copy.deepcopy(item) for item in objects]
    for item in changed:
        for container in manifests.containers(item):
            for variable in container.get("env", ()):
                if variable["name"] == VARIABLE:
                    variable["value"] = ",".join(places(pods))
    return changed


def _pairs(answer: Any) -> dict[str, str]:
    def text(value: Any) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    if isinstance(answer, Mapping):
        return {text(key): text(value) for key, value in answer.items()}
    words = [text(word) for word in answer]
    return dict(zip(words[::2], words[1::2], strict=True))
