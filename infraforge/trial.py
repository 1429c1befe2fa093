"""One trial of PostgreSQL's members: a load, what befalls them under it, and what it comes to.

    with Trial(site, watch) as trial:
        with trial.load:
            trial.load.until(acknowledged=60)
            nemesis.inject(fault)
            trial.load.until(acknowledged=60)
            nemesis.heal()
        trial.judge(evidence, nemesis, RecoversWithin(6))

Everything is judged from one history: what clients were told, what watchers saw, the faults, the
final reads of every member, and how the machine was meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Self

from infraforge import interrupts, starvation
from infraforge.checkers import (
    acknowledged_writes_kept,
    fault_took_effect,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
    under_fault,
)
from infraforge.components.site import Site
from infraforge.evidence import Evidence
from infraforge.faults import LoadRemoved
from infraforge.faults.nemesis import Nemesis
from infraforge.history import History
from infraforge.report import picture
from infraforge.verdict import Checker, Verdict, check
from infraforge.wait import seconds
from infraforge.workloads.postgresql import machine
from infraforge.workloads.postgresql.lock import LockWatcher
from infraforge.workloads.postgresql.remote import RemoteLoad

ALWAYS: tuple[Checker, ...] = (
    under_fault(acknowledged_writes_kept),
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
)
"""What holds whatever befalls the members."""
_READ_WITHIN = seconds(90)


class Trial:
    """A load that is taken away at the end of the block, or by `infraforge heal`.

    watch: of the machine; load: as `RemoteLoad` takes it.
    """

    def __init__(self, site: Site, watch: starvation.Watch, **load: int | float) -> None:
        self.load = RemoteLoad(site, **load)
        self._lock = LockWatcher(site)
        self._open = contextlib.ExitStack()
        self._watch = watch
        self._traces = Nemesis(site)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._traces.owe(LoadRemoved(), "a load straight to PostgreSQL")
        try:
            self.load.prepare()
            self._open.enter_context(self._lock)
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()

    def history(self, nemesis: Nemesis, *others: History) -> History:
        """Everything so far, and the final read of every member. To be asked for after the load.

        Raises Inconclusive where a member cannot be read.
        """
        self._open.close()
        found = self.load.history + nemesis.history + self._lock.history
        for other in others:
            found += other
        return found + self.load.read_every_member(_READ_WITHIN) + self._machine()

    def judge(
        self,
        evidence: Evidence,
        nemesis: Nemesis,
        *checkers: Checker,
        others: tuple[History, ...] = (),
    ) -> Verdict:
        """The verdict of `ALWAYS`, that every fault bit, and of `checkers`; all of it is attached.

        others: of further watchers.
        """
        seen = self.history(nemesis, *others)
        verdict = check(seen, *ALWAYS, fault_took_effect, *checkers)
        evidence.attach(seen, verdict, samples=picture.samples(seen))
        for number, drawn in enumerate(picture.failovers(seen), 1):
            evidence.attach(**{f"failover_{number}": drawn})
        return verdict

    def _machine(self) -> History:
        """One note for each stretch of `starvation.SHORTEST`."""
        notes, since, now = History(), self._began, time.monotonic()
        while since < now:
            until = min(now, since + starvation.SHORTEST)
            figures = self._watch.figures(since, until)
            notes += machine(int(since * 1e9), int(until * 1e9), figures.starved)
            since = until
        return notes

    def _clear(self) -> None:
        with interrupts.undisturbed():
            self._open.close()
            self.load.close()
            self._traces.heal()
