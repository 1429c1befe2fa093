"""Single processes of one member of PostgreSQL: its postmaster killed, its Patroni frozen.

Seen and hit from the node. Within the container Patroni is process 1, which only reaps; the Patroni
that holds the lock is its child, and no signal from within could stop process 1 anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infraforge.components import containers
from infraforge.components.containers import Container
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import roles
from infraforge.faults.roles import AllStreaming, Role, Who
from infraforge.wait import seconds, wait_until

_PS = ("ps", "-e", "-o", "pid=,ppid=,stat=,lstart=,args=")
_COLUMNS = 9
"""Three, the five words of when it started, and its command."""
_STOPPED = "T"
_GOES_ON_WITHIN = seconds(30)


@dataclass(frozen=True)
class Process:
    """One process of a node. state: as ps has it; started: since when, which with pid is unique."""

    pid: int
    parent: int
    state: str
    started: str
    command: str

    @property
    def stopped(self) -> bool:
        return self.state.startswith(_STOPPED)


def parse(listing: str) -> list[Process]:
    """Of what ps says; lines that are cut short are left out."""
    found = []
    for line in listing.splitlines():
        words = line.split(maxsplit=_COLUMNS - 1)
        if len(words) == _COLUMNS and words[0].isdigit() and words[1].isdigit():
            started = " ".join(words[3:8])
            found.append(Process(int(words[0]), int(words[1]), words[2], started, words[8]))
    return found


def on(site: Site, node: str) -> list[Process]:
    """All processes of the node."""
    return parse(containers.on_node(site, node, *_PS))


def runs(site: Site, node: str, process: Process) -> bool:
    """Whether that very process is there still, frozen or not; one that ended does not count."""
    return any(
        (one.pid, one.started) == (process.pid, process.started) and not one.state.startswith("Z")
        for one in on(site, node)
    )


def of(site: Site, container: Container) -> list[Process]:
    """The container's processes, its first one first. Raises ClusterError where it has none."""
    first = task_pid(containers.ctr(site, container.node, "task", "ls"), container.container_id)
    everything = on(site, container.node)
    found = [process for process in everything if process.pid == first]
    if not found:
        raise ClusterError(f"{container.place} has no process on {container.node}")
    for process in found:  # grows as it is walked: children of children
        found += [one for one in everything if one.parent == process.pid]
    return found


def task_pid(listing: str, container_id: str) -> int:
    """The number of a container's first process in `ctr task ls`; 0 where it is not there."""
    for line in listing.splitlines():
        columns = line.split()
        if len(columns) == 3 and columns[0] == container_id and columns[1].isdigit():
            return int(columns[1])
    return 0


def postmaster(processes: Sequence[Process]) -> Process:
    """PostgreSQL's own first process: the one that was started by its path, with a data folder.

    A child that it has just forked has the same command for a moment, and is not meant.
    """
    alike = [one for one in processes if _serves(one)]
    own = {one.pid for one in alike}
    return _only(alike, lambda one: one.parent not in own, "postmaster")


def _serves(process: Process) -> bool:
    words = process.command.split()
    return words[0].endswith("/postgres") and " -D " in process.command


def patroni(processes: Sequence[Process]) -> Process:
    """The Patroni that decides: the child of the container's first process."""
    first = processes[0]
    return _only(
        processes,
        lambda one: one.parent == first.pid and "/patroni" in one.command,
        "Patroni below process 1",
    )


def _only(processes: Sequence[Process], wanted: Callable[[Process], bool], what: str) -> Process:
    found = [process for process in processes if wanted(process)]
    if len(found) != 1:
        raise ClusterError(f"{len(found)} processes are its {what}, and not one")
    return found[0]


@dataclass(frozen=True)
class KillPostmaster:
    """SIGKILL to a member's postmaster, and so an end to all its sessions; Patroni lives on."""

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"kill the postmaster of {roles.words(self.who)}"

    def aim(self, site: Site) -> PostmasterKill:
        containers.nodes(site)
        undo = AllStreaming.of(site)
        target = roles.find(site, self.who)
        return PostmasterKill(target, postmaster(of(site, target)), undo)


@dataclass(frozen=True)
class PostmasterKill:
    """A kill aimed at one process."""

    lasting: ClassVar[bool] = False
    target: Container
    process: Process
    undo: AllStreaming

    def strike(self, site: Site) -> None:
        containers.on_node(site, self.target.node, "kill", "-KILL", str(self.process.pid))

    def took_effect(self, site: Site) -> str:
        if runs(site, self.target.node, self.process):
            return ""
        return f"{self.target.place}: postmaster {self.process.pid} is gone"


@dataclass(frozen=True)
class FreezePatroni:
    """SIGSTOP to a member's Patroni, over a PostgreSQL that works on.

    The kubelet's liveness probe ends it, where the platform is as it should be: before the member's
    lock does. So it is not one that lasts.
    """

    who: Who = Role.PRIMARY

    def describe(self) -> str:
        return f"freeze Patroni of {roles.words(self.who)}"

    def aim(self, site: Site) -> PatroniFreeze:
        containers.nodes(site)
        undo = AllStreaming.of(site)
        target = roles.find(site, self.who)
        found = of(site, target)
        return PatroniFreeze(target, patroni(found), postmaster(found), undo)


@dataclass(frozen=True)
class PatroniFreeze:
    """A stop aimed at one process; PostgreSQL beside it is to work on."""

    lasting: ClassVar[bool] = False
    target: Container
    process: Process
    beside: Process
    after: AllStreaming

    @property
    def undo(self) -> Continue:
        return Continue(self.target.node, self.process.pid, self.process.started, self.after)

    def strike(self, site: Site) -> None:
        containers.on_node(site, self.target.node, "kill", "-STOP", str(self.process.pid))

    def took_effect(self, site: Site) -> str:
        now = {(one.pid, one.started): one for one in on(site, self.target.node)}
        frozen = now.get((self.process.pid, self.process.started))
        live = now.get((self.beside.pid, self.beside.started))
        if frozen is None or live is None or not frozen.stopped or live.stopped:
            return ""
        return (
            f"{self.target.place}: Patroni {frozen.pid} is in state {frozen.state}, "
            f"PostgreSQL {live.pid} in {live.state}"
        )


@dataclass(frozen=True)
class Continue:
    """Let a stopped process go on; nothing to do where it is gone, or another has its number."""

    kind: ClassVar[str] = "continue"
    node: str
    pid: int
    started: str
    after: AllStreaming

    @property
    def parameters(self) -> Mapping[str, str]:
        own = {"node": self.node, "pid": str(self.pid), "started": self.started}
        return {**own, **self.after.parameters}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Continue:
        return cls(
            parameters["node"],
            int(parameters["pid"]),
            parameters["started"],
            AllStreaming.restored(parameters),
        )

    def perform(self, site: Site) -> None:
        if self._stopped(site):
            containers.on_node(site, self.node, "kill", "-CONT", str(self.pid))
        wait_until(
            lambda: not self._stopped(site),
            _GOES_ON_WITHIN,
            what=f"process {self.pid} of {self.node} goes on",
        )
        self.after.perform(site)

    def _stopped(self, site: Site) -> bool:
        return any(
            (one.pid, one.started) == (self.pid, self.started) and one.stopped
            for one in on(site, self.node)
        )
