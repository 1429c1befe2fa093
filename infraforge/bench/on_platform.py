"""The platform's PostgreSQL as one that fails over: held alone, under a load in its cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infraforge import faults, healing, interrupts, stack
from infraforge.bench import rounds
from infraforge.bench.kinds import Kind
from infraforge.bench.rounds import Watched, Writers
from infraforge.bench.samples import PLATFORM
from infraforge.cluster.users import Use
from infraforge.components import containers, members
from infraforge.components.site import Site
from infraforge.errors import UsageError
from infraforge.faults import LoadRemoved
from infraforge.faults.nemesis import Nemesis
from infraforge.history import History
from infraforge.profile import Profile, names
from infraforge.workloads.postgresql.lock import LockWatcher
from infraforge.workloads.postgresql.remote import RemoteLoad


@contextlib.contextmanager
def using(name: str) -> Iterator[stack.Platform]:
    """The platform, held alone: others' load would be in the figures, and our faults in theirs."""
    if not stack.is_up(name):
        fitting = several()[-1]
        raise UsageError(f"no platform {name!r} is up; run: infraforge up --profile {fitting}")
    use = Use(name, "infraforge bench failover").join()
    try:
        healing.before_run(name)
        with use.alone():
            platform = stack.attach(name)
            with contextlib.closing(platform.site):
                yield platform
    finally:
        stack.leave(use)


def several(tree: Path = stack.TREE) -> list[str]:
    """The profiles with several members of PostgreSQL, those with the fewest first."""
    counts = {name: len(members.of(Profile.load(name, tree))) for name in names(tree)}
    return sorted((name for name, count in counts.items() if count > 1), key=counts.__getitem__)


class OnPlatform:
    """The platform's PostgreSQL as one that fails over."""

    name = PLATFORM

    def __init__(self, site: Site) -> None:
        self._site = site

    @contextlib.contextmanager
    def load(self) -> Iterator[Writers]:
        """In a pod of the cluster; `infraforge heal` takes it away where this process could not."""
        traces, made = Nemesis(self._site), RemoteLoad(self._site, **rounds.LOAD)
        traces.owe(LoadRemoved(), "a load straight to PostgreSQL")
        try:
            made.prepare()
            yield Watched(made, LockWatcher(self._site))
        finally:
            with interrupts.undisturbed():
                made.close()
                traces.heal()

    def faults(self) -> PlatformFaults:
        return PlatformFaults(self._site, Nemesis(self._site))


@dataclass(frozen=True)
class PlatformFaults:
    """The nemesis, asked by kind."""

    site: Site
    nemesis: Nemesis

    @property
    def history(self) -> History:
        return self.nemesis.history

    def inject(self, kind: Kind) -> str:
        return self.nemesis.inject(kind.fault)

    def heal(self) -> None:
        """Undo all, and give every member whose container was restarted a new pod.

        The kubelet waits longer before each restart of a container, up to 5 minutes, and forgets
        that only with the pod or after 10 minutes. No failover is to meet what former ones left.
        """
        injected = bool(self.history.faults)
        self.nemesis.heal()
        for pod in members.of(self.site.profile) if injected else ():
            if containers.find(self.site, members.COMPONENT, in_pod=pod).restarts:
                renewing = Nemesis(self.site)
                try:
                    renewing.inject(faults.KillMember(pod))
                finally:
                    renewing.heal()
