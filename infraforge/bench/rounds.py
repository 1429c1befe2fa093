"""One failover: writers go on, a fault strikes, writes come back, all is undone, checkers judge."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from infraforge import interrupts
from infraforge.bench.kinds import Kind
from infraforge.bench.samples import Sample
from infraforge.checkers import (
    acknowledged_writes_kept,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
)
from infraforge.checkers.outages import outages
from infraforge.errors import InfraForgeError, in_words
from infraforge.history import History
from infraforge.starvation import Figures
from infraforge.verdict import Checker, Verdict, check, merge, unknown
from infraforge.wait import seconds
from infraforge.workloads.postgresql import machine

ELEMENTS = 2000
"""That must be acknowledged in each failover: a hundred of these are 200,000 acknowledged commits.
How many of them after the fault, the kind says."""
LOAD: dict[str, Any] = {"adders": 2, "writers": 1, "readers": 1, "pace": 0.01}
"""For each subject alike; some 200 commits a second leave the processors room for the failover."""
CHECKERS: tuple[Checker, ...] = (
    acknowledged_writes_kept,
    no_phantom,
    one_primary_at_a_time,
    no_stale_read,
)
_ACKNOWLEDGED = seconds(180)
_READ = seconds(120)


class Writers(Protocol):
    """A load that runs while its block does, with watchers: `Load` here, `RemoteLoad` in a pod."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None: ...

    def until(self, *, acknowledged: int, within: float) -> None:
        """Return once so many more elements are acknowledged. Raises TimedOut."""

    @property
    def history(self) -> History:
        """What was done, and what watchers saw."""

    def read_every_member(self, within: float) -> History:
        """The whole set from each member. Raises TimedOut."""


class Watching(Protocol):
    """Somebody who looks on while a block runs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None: ...

    @property
    def history(self) -> History: ...


class Watched:
    """A load with watchers beside it, all in one history."""

    def __init__(self, load: Writers, *watchers: Watching) -> None:
        self._load, self._watchers = load, watchers
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as entered:
            for one in (*self._watchers, self._load):  # the load ends first
                entered.enter_context(one)
            self._running = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._running.__exit__(kind, error, trace)

    def until(self, *, acknowledged: int, within: float) -> None:
        self._load.until(acknowledged=acknowledged, within=within)

    @property
    def history(self) -> History:
        return sum((one.history for one in self._watchers), self._load.history)

    def read_every_member(self, within: float) -> History:
        return self._load.read_every_member(within)


class Faults(Protocol):
    """The faults of one failover."""

    @property
    def history(self) -> History: ...

    def inject(self, kind: Kind) -> object:
        """Return once the fault's effect is proven. Raises Inconclusive."""

    def heal(self) -> object:
        """Undo it, and wait until all members stream. Idempotent. Raises Inconclusive."""


class Subject(Protocol):
    """Who fails over."""

    @property
    def name(self) -> str: ...

    def load(self) -> AbstractContextManager[Writers]:
        """A load with its tables made; all of it is taken away at the block's end."""

    def faults(self) -> Faults: ...


Machine = Callable[[float, float], Figures]
"""The machine's figures between two moments of the monotonic clock, in seconds."""


def failover(
    subject: Subject, kind: Kind, number: int, figures: Machine
) -> tuple[Sample, Verdict, History]:
    """One failover, whatever becomes of it: what goes wrong is in the sample, and unknown.

    Everything is undone at the end, also on an interrupt.
    """
    injected = subject.faults()
    history, troubles = History(), list[str]()
    with _noted(troubles), subject.load() as load:
        with _noted(troubles), _healed(injected), load, _noted(troubles):
            load.until(acknowledged=ELEMENTS - kind.after, within=_ACKNOWLEDGED)
            injected.inject(kind)
            load.until(acknowledged=kind.after, within=_ACKNOWLEDGED)
        history += load.history + injected.history
        if history.faults:
            history += load.read_every_member(_READ)
    history = with_machine(history, figures)
    verdict = check(history, *CHECKERS)
    trouble = "; ".join(troubles)
    if trouble:
        verdict = merge(verdict, unknown("it was measured", trouble), name=verdict.name)
    place = (subject.name, kind.name, number)
    return Sample.of(place, history, verdict, trouble), verdict, history


def with_machine(history: History, figures: Machine) -> History:
    """The same history, with a note of how the machine was in each gap."""
    for outage in outages(history):
        words = figures(outage.last.time / 1e9, outage.until / 1e9).starved
        history += machine(outage.last.time, outage.until, words)
    return history


@contextlib.contextmanager
def _healed(injected: Faults) -> Iterator[None]:
    try:
        yield
    finally:
        with interrupts.undisturbed():
            injected.heal()


@contextlib.contextmanager
def _noted(troubles: list[str]) -> Iterator[None]:
    """End the block quietly where the project's own error ends it, and keep its words."""
    try:
        yield
    except (InfraForgeError, AssertionError) as error:
        told = [in_words(error)]
        while isinstance(error.__context__, InfraForgeError):
            error = error.__context__
            told.insert(0, in_words(error))
        troubles.extend(told)
