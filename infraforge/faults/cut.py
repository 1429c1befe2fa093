"""Members cut off: from each other, from everybody, or (PostgreSQL) from the Kubernetes API.

Done in the pod's own network namespace, from its node, with iptables: it bites at once, ends
connections that were there too, and touches no policy of the platform's. That packets were dropped
the rule's own counter proves. A network namespace outlives its containers and goes with its pod, so
it is known by its path, and there is nothing to undo where that is gone.
"""

from __future__ import annotations

import enum
import json
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes import client

from infraforge.components import containers, members
from infraforge.components.containers import Container
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import after, processes, roles
from infraforge.faults.after import After
from infraforge.faults.roles import AllStreaming, Role, Who

CHAIN = "INFRAFORGE-CUT"
_FIND = (
    'for path in /run/netns/*; do [ "$(stat -L -c %i "$path")" = "$1" ] && echo "$path"; done; true'
)
_THERE = '[ -e "$1" ] && echo there; true'
# argv: name of the loop, seconds in all, seconds down, seconds up, the namespace, then the rules,
# one a word; it ends with the way open
_LOOP = """
end=$(( $(date +%s) + $1 )); down=$2; up=$3; ns=$4; shift 4
change() { for rule; do eval "nsenter --net=$ns iptables -w 5 $way $rule"; done; }
trap 'exit 0' TERM
while [ "$(date +%s)" -lt "$end" ]; do
  way=-I change "$@"; sleep "$down"
  way=-D change "$@"; sleep "$up"
done
"""

Rule = tuple[str, ...]
"""A chain, and what of its packets is meant, in iptables' words."""


class From(enum.Enum):
    """Whom a member is cut off from."""

    PEERS = "the other members"
    EVERYBODY = "everybody"
    API = "the Kubernetes API"


@dataclass(frozen=True)
class Place:
    """The network of one pod. netns: its path on the node."""

    node: str
    netns: str

    def iptables(self, site: Site, *argv: str) -> str:
        """What iptables says there. Raises ClusterError."""
        there = ("nsenter", f"--net={self.netns}", "iptables", "-w", "5", *argv)
        return containers.on_node(site, self.node, *there)

    def gone(self, site: Site) -> bool:
        """Whether the pod, and its network with it, is there no more."""
        return not containers.on_node(site, self.node, "sh", "-c", _THERE, "there", self.netns)

    @classmethod
    def of(cls, site: Site, container: Container) -> Place:
        """Where that container's network is. Raises ClusterError where it is not to be found."""
        node = container.node
        pid = processes.task_pid(containers.ctr(site, node, "task", "ls"), container.container_id)
        if not pid:
            raise ClusterError(f"{container.place} has no process on {node}")
        inode = containers.on_node(site, node, "stat", "-L", "-c", "%i", f"/proc/{pid}/ns/net")
        paths = containers.on_node(site, node, "sh", "-c", _FIND, "find", inode.strip()).split()
        if len(paths) != 1:
            raise ClusterError(f"{container.place}: {len(paths)} of {node}'s networks are its own")
        return cls(node, paths[0])


@dataclass(frozen=True)
class CutOff:
    """Drop all packets between a member and whom it is cut off from, until it is undone."""

    who: Who = Role.PRIMARY
    from_: From = From.PEERS

    def describe(self) -> str:
        return f"cut {roles.words(self.who)} off from {self.from_.value}"

    def aim(self, site: Site) -> Cut:
        containers.nodes(site)
        waits = AllStreaming.of(site)
        target = roles.find(site, self.who)
        places = (Place.of(site, target),)
        return Cut(Reconnect(places, waits), rules(site, self.from_, target.pod))


@dataclass(frozen=True)
class ApiAway:
    """The Kubernetes API does not answer any member, until it is undone."""

    def describe(self) -> str:
        return f"cut all members off from {From.API.value}"

    def aim(self, site: Site) -> Cut:
        return Cut(Reconnect(_everywhere(site), AllStreaming.of(site)), rules(site, From.API))


@dataclass(frozen=True)
class ApiFlaps:
    """The Kubernetes API is away from all members for `down` of each `down + up` seconds.

    It ends by itself after `seconds`, with the way open.
    """

    seconds: int = 180
    down: int = 5
    up: int = 1

    def describe(self) -> str:
        return f"the Kubernetes API flaps for {self.seconds} s: {self.down} s down, {self.up} s up"

    def aim(self, site: Site) -> Flapping:
        name = f"infraforge-flap-{uuid.uuid4().hex[:12]}"
        undo = Reconnect(_everywhere(site), AllStreaming.of(site), name)
        times = (self.seconds, self.down, self.up)
        return Flapping(undo, rules(site, From.API), times)


@dataclass(frozen=True)
class Cut:
    """Rules that are about to drop packets in some pods' networks."""

    lasting: ClassVar[bool] = True
    undo: Reconnect
    rules: Sequence[Rule]

    def strike(self, site: Site) -> None:
        for place in self.undo.places:
            prepare(site, place)
            for chain, *what in self.rules:
                place.iptables(site, "-I", chain, *what, "-j", CHAIN)

    def took_effect(self, site: Site) -> str:
        return dropped_everywhere(site, self.undo.places)


@dataclass(frozen=True)
class Flapping:
    """Loops on the nodes that put the rules there and take them away. times: all, down, up."""

    lasting: ClassVar[bool] = False
    undo: Reconnect
    rules: Sequence[Rule]
    times: tuple[int, int, int]

    def strike(self, site: Site) -> None:
        lines = [shlex.join([chain, *what, "-j", CHAIN]) for chain, *what in self.rules]
        for place in self.undo.places:
            prepare(site, place)
            loop = ["setsid", "sh", "-c", _LOOP, self.undo.loop, *map(str, self.times)]
            line = shlex.join([*loop, place.netns, *lines])
            beside = f"{line} </dev/null >/dev/null 2>&1 &"
            containers.on_node(site, place.node, "sh", "-c", beside)

    def took_effect(self, site: Site) -> str:
        return dropped_everywhere(site, self.undo.places)


@dataclass(frozen=True)
class Reconnect:
    """No rule of ours in those networks, no loop that makes them, and all members are well.

    loop: its name among the nodes' processes; "" where there is none.
    """

    kind: ClassVar[str] = "reconnect"
    places: tuple[Place, ...]
    after: After
    loop: str = ""

    @property
    def parameters(self) -> Mapping[str, str]:
        places = json.dumps([[place.node, place.netns] for place in self.places])
        return {"places": places, "loop": self.loop, **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Reconnect:
        places = tuple(Place(str(n), str(ns)) for n, ns in json.loads(parameters["places"]))
        return cls(places, after.restored(parameters), parameters["loop"])

    def perform(self, site: Site) -> None:
        for place in self.places:
            if self.loop:
                _end(site, place.node, self.loop)
            if not place.gone(site):
                open_again(site, place)
        self.after.perform(site)


def rules(site: Site, from_: From, pod: str = "") -> list[Rule]:
    """What is dropped in the network of `pod`, both ways. Raises ClusterError."""
    if from_ is From.EVERYBODY:
        return everybody()
    if from_ is From.API:
        return [
            rule
            for address, port in _api_addresses(site)
            for rule in (
                ("OUTPUT", "-d", address, "-p", "tcp", "--dport", str(port)),
                ("INPUT", "-s", address, "-p", "tcp", "--sport", str(port)),
            )
        ]
    peers = [
        str(one.status.pod_ip)
        for one in containers.pods(site, members.COMPONENT)
        if one.metadata.name != pod and one.status.pod_ip
    ]
    if not peers:
        raise ClusterError(f"{pod} has no peers to be cut off from")
    return between(peers)


def everybody() -> list[Rule]:
    """All that is not the pod's own loopback, by which a port-forward comes."""
    return [("INPUT", "!", "-i", "lo"), ("OUTPUT", "!", "-o", "lo")]


def between(addresses: Sequence[str]) -> list[Rule]:
    """All from and to these addresses."""
    return [rule for ip in addresses for rule in (("OUTPUT", "-d", ip), ("INPUT", "-s", ip))]


def prepare(site: Site, place: Place) -> None:
    """A chain that drops what is sent there, and nothing is sent there yet."""
    open_again(site, place)
    place.iptables(site, "-N", CHAIN)
    place.iptables(site, "-A", CHAIN, "-j", "DROP")


def open_again(site: Site, place: Place) -> None:
    """Take away the chain and whatever leads there, and nothing else."""
    lines = [shlex.split(line) for line in place.iptables(site, "-S").splitlines()]
    for line in lines:
        if line[:1] == ["-A"] and line[-2:] == ["-j", CHAIN]:
            place.iptables(site, "-D", *line[1:])
    if ["-N", CHAIN] in lines:
        place.iptables(site, "-F", CHAIN)
        place.iptables(site, "-X", CHAIN)


def dropped(listing: str) -> int:
    """How many packets the chain has dropped, by `iptables -nvxL CHAIN`; 0 where that is untold."""
    for line in listing.splitlines():
        words = line.split()
        if len(words) > 2 and words[2] == "DROP" and words[0].isdigit():
            return int(words[0])
    return 0


def dropped_everywhere(site: Site, places: Sequence[Place]) -> str:
    """Of each network how many packets were dropped there; "" where in one of them none was."""
    counts = [dropped(place.iptables(site, "-nvxL", CHAIN)) for place in places]
    if not all(counts):
        return ""
    told = [f"{place.node}: {count}" for place, count in zip(places, counts, strict=True)]
    return f"packets dropped: {', '.join(told)}"


def _everywhere(site: Site) -> tuple[Place, ...]:
    containers.nodes(site)
    return tuple(Place.of(site, roles.find(site, pod)) for pod in members.of(site.profile))


def _api_addresses(site: Site) -> list[tuple[str, int]]:
    """Where pods find the API server: its Service, and what is behind it."""
    try:
        service: Any = site.core.read_namespaced_service("kubernetes", "default")
        slices: Any = client.DiscoveryV1Api(site.cluster.api).list_namespaced_endpoint_slice(
            "default", label_selector="kubernetes.io/service-name=kubernetes"
        )
    except client.ApiException as error:
        raise ClusterError(f"the API server's addresses are not told: {error.reason}") from error
    found = [(str(service.spec.cluster_ip), int(port.port)) for port in service.spec.ports]
    found += [
        (str(address), int(port.port))
        for one in slices.items
        for endpoint in one.endpoints or ()
        for address in endpoint.addresses
        for port in one.ports
    ]
    return found


def _end(site: Site, node: str, loop: str) -> None:
    """End the loop of this name; its name is in no other process's command."""
    for process in processes.on(site, node):
        words = process.command.split()
        if loop in words and words[0] == "sh":
            # with its sleep: it would go on to the next change only after that
            containers.on_node(site, node, "kill", "-KILL", "--", f"-{process.pid}")
