"""From histories of failovers to figures: samples, percentiles, a table. Pure.

A percentile is the nearest rank: the smallest sample that at least so many of a hundred samples do
not exceed (definition 1 of Hyndman and Fan, 1996, https://doi.org/10.1080/00031305.1996.10473566).
It is always one of the samples; of fewer than twenty, the 95th is the longest.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infraforge.bench.kinds import KINDS, LONGEST, RATIO, Kind
from infraforge.checkers.acknowledged import lost
from infraforge.checkers.outages import Outage, outages
from infraforge.checkers.recovery import recoveries
from infraforge.history import History
from infraforge.verdict import Outcome, Verdict

METHOD = "nearest rank"
PLATFORM, PLAIN, RAW = "platform", "plain Patroni", "raw promotion"
SHARES = (50, 95, LONGEST)
"""Percentiles that are told; the last is the longest of all."""
_COLUMNS = ("", "n", "p50", "p95", "max", "error", "starved", "lost", "must reach")
_WIDTHS = (36, 4, 8, 8, 8, 8, 8, 6, 0)


@dataclass(frozen=True)
class Sample:
    """One failover, in seconds as the writers saw it.

    subject: who failed over; seconds: from the last acknowledged write before the gap to the first
    after it, None where that is not known (writes stayed away, or the fault's effect was not
    proven), and `trouble` says why; error: by how much the outage
    may have been shorter; noticed: whether the gap is longer than that error; terms: the recovery
    time's terms that are known (`checkers.recovery`), explained: their share of it, 0 to 1;
    starved: bounds that the machine passed meanwhile; acknowledged, lost: writes, and of those that
    add an element the ones missing from a final read (None: not known).
    """

    subject: str
    kind: str
    number: int
    outcome: Outcome
    seconds: float | None = None
    error: float | None = None
    noticed: bool = False
    terms: Mapping[str, float] = field(default_factory=dict)
    explained: float | None = None
    starved: tuple[str, ...] = ()
    acknowledged: int = 0
    lost: int | None = None
    trouble: str = ""

    @classmethod
    def of(
        cls,
        place: tuple[str, str, int],
        history: History,
        verdict: Verdict,
        trouble: str = "",
    ) -> Sample:
        """What one history tells. place: subject, kind, number; trouble: what went wrong."""
        subject, kind, number = place
        found = outages(history)
        ended = [outage for outage in found if outage.first is not None and outage.fault.ok]
        if not trouble and not ended:
            trouble = "writes did not come back" if found else "too few writes to tell a rhythm"
        made = cls(
            *(subject, kind, number, verdict.outcome),
            acknowledged=sum(call.ok for call in history.of("add", "write")),
            lost=lost(history),
            trouble=trouble,
        )
        return made if not ended else _measured(made, max(ended, key=_length), history)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "outcome": str(self.outcome), "terms": dict(self.terms)}


def _length(outage: Outage) -> float:
    return outage.seconds


def _measured(sample: Sample, outage: Outage, history: History) -> Sample:
    told: dict[str, Any] = {
        "seconds": outage.seconds,
        "error": outage.error,
        "noticed": outage.noticed,
        "starved": outage.starved,
    }
    for recovery in recoveries(history):
        if recovery.outage == outage:
            told["terms"] = {term.name: term.seconds for term in recovery.terms}
            told["explained"] = recovery.explained
    return dataclasses.replace(sample, **told)


def percentile(values: Iterable[float], share: int) -> float:
    """By nearest rank (see the module). share: 1 to 100. Raises ValueError where there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no percentile of nothing")
    return ordered[-(-share * len(ordered) // 100) - 1]


@dataclass(frozen=True)
class Row:
    """All samples of one kind of one subject."""

    subject: str
    kind: Kind
    samples: tuple[Sample, ...]

    @property
    def times(self) -> list[float]:
        """The recovery times that are known, starved or not: none is left out for being long."""
        return [sample.seconds for sample in self.samples if sample.seconds is not None]

    @property
    def name(self) -> str:
        return self.kind.name if self.subject == PLATFORM else f"{self.kind.name}, {self.subject}"

    @property
    def error(self) -> float:
        """The greatest error of all, in seconds."""
        return max((sample.error for sample in self.samples if sample.error is not None), default=0)

    @property
    def starved(self) -> int:
        return sum(bool(sample.starved) for sample in self.samples)

    @property
    def lost(self) -> int | None:
        """Acknowledged elements that were lost in all; None where that is not known of each."""
        counts = [sample.lost for sample in self.samples]
        return None if None in counts else sum(count for count in counts if count is not None)

    def figures(self) -> dict[str, float]:
        """Name → seconds, or a count."""
        times = self.times
        told = {f"p{share}" if share < LONGEST else "max": share for share in SHARES}
        made = {f"{self.name}, {name}, s": percentile(times, told[name]) for name in told if times}
        if times:
            made[f"{self.name}, greatest error, s"] = self.error
        made[f"{self.name}, failovers"] = len(self.samples)
        made[f"{self.name}, without a figure"] = len(self.samples) - len(times)
        made[f"{self.name}, starved"] = self.starved
        return made


def rows(samples: Sequence[Sample]) -> list[Row]:
    """By kind in the order of `KINDS`, and of each kind by subject as they first appear."""
    subjects = list(dict.fromkeys(sample.subject for sample in samples))
    found = (
        Row(
            subject,
            kind,
            tuple(s for s in samples if (s.subject, s.kind) == (subject, kind.name)),
        )
        for kind in KINDS
        for subject in subjects
    )
    return [row for row in found if row.samples]


def ratio(found: Sequence[Row]) -> float | None:
    """A crash's p95 as a multiple of plain Patroni's; None where one of both is not known."""
    crashes = {row.subject: row.times for row in found if row.kind.peers}
    ours, theirs = crashes.get(PLATFORM), crashes.get(PLAIN)
    if not ours or not theirs:
        return None
    return percentile(ours, 95) / percentile(theirs, 95)


def figures(samples: Sequence[Sample]) -> dict[str, float]:
    """All numbers by name; counts of the platform's own failovers only."""
    found = rows(samples)
    made: dict[str, float] = {}
    for row in found:
        made |= row.figures()
    if (times := ratio(found)) is not None:
        made["crash, p95 as a multiple of plain Patroni's"] = times
    own = [sample for sample in samples if sample.subject == PLATFORM]
    made["acknowledged commits"] = sum(sample.acknowledged for sample in own)
    known = [sample.lost for sample in own if sample.lost is not None]
    made["acknowledged commits lost"] = sum(known)
    made["failovers whose losses are not known"] = len(own) - len(known)
    return made


def table(samples: Sequence[Sample], ttl: float) -> list[str]:
    """Lines for people: a row for each kind and subject, then what must be said of single samples.

    ttl: Patroni's, in seconds.
    """
    found = rows(samples)
    lines = [_line(_COLUMNS), *(_line(_cells(row, ttl)) for row in found)]
    if (times := ratio(found)) is not None:
        word = "within" if times <= RATIO else "MISSED:"
        lines.append(f"crash p95 is {times:.2f} of plain Patroni's; {word} {RATIO:g}")
    lines.append(f"seconds; percentiles by {METHOD}; error: the greatest; starved samples count")
    for sample in samples:
        place = f"{sample.subject}, {sample.kind} {sample.number}"
        time = "no figure" if sample.seconds is None else f"{sample.seconds:.3f} s"
        if sample.starved:
            lines.append(f"{place}: {time}, on a starved machine: {'; '.join(sample.starved)}")
        if sample.trouble:
            lines.append(f"{place}: {time}: {sample.trouble}")
        elif not sample.noticed:
            lines.append(f"{place}: {time}, which is within the probe's error {sample.error:.3f} s")
    return lines


def counted(samples: Sequence[Sample]) -> str:
    """How many commits the platform acknowledged and lost in all, in words."""
    own = [sample for sample in samples if sample.subject == PLATFORM]
    told = figures(samples)
    line = (
        f"{len(own)} failovers, {told['acknowledged commits']:.0f} commits acknowledged, "
        f"{told['acknowledged commits lost']:.0f} lost"
    )
    unknown = told["failovers whose losses are not known"]
    return f"{line}; not known of {unknown:.0f} failovers" if unknown else line


def outcomes(samples: Sequence[Sample], subject: str) -> str:
    """`19 holds, 1 unknown`: the verdicts on one subject's failovers."""
    counts = Counter(sample.outcome for sample in samples if sample.subject == subject)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])


def _cells(row: Row, ttl: float) -> list[str]:
    times, all_ = row.times, len(row.samples)
    cells = [row.name, str(all_) if len(times) == all_ else f"{len(times)}/{all_}"]
    cells += [f"{percentile(times, share):.3f}" if times else "-" for share in SHARES]
    cells += [f"{row.error:.3f}" if times else "-", str(row.starved)]
    cells += ["?" if row.lost is None else str(row.lost), _reached(row, ttl)]
    return cells


def _reached(row: Row, ttl: float) -> str:
    """What the kind must reach, and whether it did; nothing is asked of a peer."""
    if row.subject != PLATFORM:
        return ""
    kind, bound = row.kind, row.kind.bound(ttl)
    told = f"{kind.statistic} <= {bound:g}"
    if not row.times:
        return told
    return told if percentile(row.times, kind.share) <= bound else f"{told}: MISSED"


def _line(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    text = f"{first[0]:{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in others[:-1])
    return f"{text}  {others[-1][0]}".rstrip()
