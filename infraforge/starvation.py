"""Whether the machine was starved during a wait: measurements, and bounds with their reasons.

A missed time budget says nothing about a platform that got no CPU. Verdicts that do not depend on
time are unaffected. The bounds, and their reasons:

cpu     share of the time in which a runnable task waited for a processor (pressure-stall
        information, *some*). Measured on two cores over minutes: with 5 runnable tasks it is 0.75,
        0.97 at most for five seconds, which is busy; with 8 to 12 tasks it is 0.99, when each gets
        a fifth of a processor. Neighbours at nice 19 count, and rightly: with
        autogroup on, as most kernels have it (/proc/sys/kernel/sched_autogroup_enabled), a nice
        value counts within its session only. Measured beside such neighbours, at 0.95 to 0.99: a
        thread at nice 0 in a session of its own ran for 0.16 to 0.27 of the time in which it wanted
        to, one at nice 19 in another for 0.19 to 0.28, and one whose session had an autogroup of
        nice 19 for 0.01. Niced tasks had half of the processors' time then, so neither that nor
        idle time shows that others got their share. A thread's own wait in the run queue
        (/proc/self/schedstat) was as long at 0.76, so it would excuse more, and not less.
memory  share in which nothing ran for want of memory (*full*): a tenth is a machine that thrashes.
io      share in which nothing ran for want of a disk (*full*): etcd syncs before each answer.
steal   share of the processors' time that the hypervisor gave to others.
p99     seconds within which the API server answered 99 of 100 small requests; on a quiet machine
        it is milliseconds. Not judged from fewer than 20 answers, one for each second.

A kernel without pressure information leaves that figure unknown, and unknown excuses nothing.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CPU, MEMORY, IO, STEAL, P99 = 0.97, 0.1, 0.3, 0.1, 1.0
ENOUGH = 20
"""Answers of the API server that a 99th percentile needs."""
SHORTEST = 10.0
"""Seconds; over less, the start of one process would decide the shares."""
_EVERY = 1.0
_KEPT = 3_600
_KINDS = {"cpu": "some", "memory": "full", "io": "full"}
_STEAL = 7
"""Its position in /proc/stat; user time, the first number, already includes the guests'."""


@dataclass(frozen=True)
class Moment:
    """Counters at one moment of the monotonic clock.

    stalled: seconds since boot by resource, as far as the kernel reports them; stolen, ticks:
    processor time; answered: seconds until the API server answered, None where it was not asked or
    refused.
    """

    at: float
    stalled: Mapping[str, float] = field(default_factory=dict)
    stolen: int = 0
    ticks: int = 0
    answered: float | None = None


@dataclass(frozen=True)
class Figures:
    """Figures of a period: shares from 0 to 1, p99 in seconds; None where unknown."""

    seconds: float
    cpu: float | None = None
    memory: float | None = None
    io: float | None = None
    steal: float | None = None
    p99: float | None = None
    answers: int = 0

    @property
    def starved(self) -> tuple[str, ...]:
        """The bounds that were exceeded, in words; none on a machine that is merely busy."""
        bounds = {"cpu": CPU, "memory": MEMORY, "io": IO, "steal": STEAL, "p99": P99}
        figures = {name: getattr(self, name) for name in bounds}
        return tuple(
            f"{name} {figures[name]:.2f} is above {bound:g}"
            for name, bound in bounds.items()
            if figures[name] is not None and figures[name] > bound
        )

    def __str__(self) -> str:
        shares = {name: getattr(self, name) for name in ("cpu", "memory", "io", "steal")}
        told = [f"{name} {_said(share)}" for name, share in shares.items()]
        asked = f"API server p99 {_said(self.p99, ' s')} of {self.answers} answers"
        return f"over {self.seconds:.0f} s: {', '.join(told)}, {asked}"


def look(proc: Path = Path("/proc"), answered: float | None = None) -> Moment:
    """The machine's counters now; what the kernel does not report is left out."""
    stalled = {}
    for name, kind in _KINDS.items():
        with contextlib.suppress(OSError, ValueError):
            lines = (proc / "pressure" / name).read_text().splitlines()
            totals = {line.split()[0]: line.rpartition("total=")[2] for line in lines if line}
            if kind in totals:
                stalled[name] = int(totals[kind]) / 1e6
    stolen = ticks = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        times = [int(text) for text in (proc / "stat").read_text().split("\n")[0].split()[1:]]
        stolen, ticks = times[_STEAL], sum(times[: _STEAL + 1])
    return Moment(time.monotonic(), stalled, stolen, ticks, answered)


def between(moments: Iterable[Moment], since: float, until: float) -> Figures:
    """The figures of a period, from the last moment before it to the first one after it.

    A period shorter than `SHORTEST` is extended to that length, back from its end. Pure.
    """
    since = min(since, until - SHORTEST)
    known = sorted(moments, key=lambda moment: moment.at)
    before = [moment for moment in known if moment.at <= since]
    after = [moment for moment in known if moment.at >= until]
    chosen = [*before[-1:], *(one for one in known if since < one.at < until), *after[:1]]
    if len(chosen) < 2:
        return Figures(until - since)
    first, last = chosen[0], chosen[-1]
    took, ticks = last.at - first.at, last.ticks - first.ticks
    shares = {
        name: (last.stalled[name] - first.stalled[name]) / took
        for name in _KINDS
        if name in first.stalled and name in last.stalled
    }
    answers = [one.answered for one in chosen[1:] if one.answered is not None]
    enough = len(answers) >= ENOUGH
    return Figures(
        seconds=took,
        steal=(last.stolen - first.stolen) / ticks if ticks > 0 else None,
        p99=statistics.quantiles(answers, n=100, method="inclusive")[-1] if enough else None,
        answers=len(answers),
        **shares,
    )


class Watch:
    """Takes a sample each second, in its own thread, while tests run: a few small reads.

    ask: sends a small request to the API server; may be set once there is one.
    """

    def __init__(self, proc: Path = Path("/proc"), every: float = _EVERY) -> None:
        self.ask: Callable[[], object] | None = None
        self._proc, self._every = proc, every
        self._moments: deque[Moment] = deque([look(proc)], maxlen=_KEPT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, name="starvation", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def figures(self, since: float, until: float) -> Figures:
        """For the time between two moments of the monotonic clock; until: at most now."""
        return between([*self._moments, look(self._proc)], since, until)

    def _go(self) -> None:
        while not self._stop.wait(self._every):
            self._moments.append(look(self._proc, self._answered()))

    def _answered(self) -> float | None:
        """Seconds; a request without an answer took as long as it was waited for."""
        if self.ask is None:
            return None
        began = time.monotonic()
        try:
            self.ask()
        except Exception:  # noqa: BLE001 - an immediate refusal is no sign of starvation
            took = time.monotonic() - began
            return took if took > P99 else None
        return time.monotonic() - began


def _said(number: float | None, unit: str = "") -> str:
    return "unknown" if number is None else f"{number:.2f}{unit}"
