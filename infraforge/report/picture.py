"""A picture of each failover in a history, and a table of its figures. Pure: history → SVG, Table.

matplotlib draws; it is imported when a picture is drawn, since it takes half a second to.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from infraforge.checkers.acknowledged import lost
from infraforge.checkers.origin import PRIMARY, STANDBY
from infraforge.checkers.outages import STARVED
from infraforge.checkers.recovery import TERMS, Recovery, recoveries
from infraforge.history import HEAL, NEMESIS, Call, History, Kind
from infraforge.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which people with any colour vision tell apart
# (https://jfly.uni-koeln.de/color/)
_BLUE, _SKY, _GREEN, _ORANGE, _RED = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"
_PURPLE, _GREY, _PALE = "#CC79A7", "#7F7F7F", "#E5E5E5"
_ROLES = {PRIMARY: (_BLUE, "white"), STANDBY: (_SKY, "black"), "no answer": (_PALE, "black")}
_OUTCOMES = {
    Kind.OK: (_GREEN, "acknowledged (ok)", "o"),
    Kind.FAIL: (_ORANGE, "surely not done (fail)", "v"),
    Kind.INFO: (_RED, "nobody can tell (info)", "x"),
}
_TERMS = dict(zip(TERMS, (_GREY, _ORANGE, _BLUE, _PURPLE, _GREEN), strict=True))
_AROUND = 0.35
_LEAST = 1.0
"""Shown before and after the gap: this share of it, and at least so many seconds."""
_MOST = 2_000
"""Operations drawn of each outcome; of more, evenly chosen ones."""


def failovers(history: History) -> tuple[bytes, ...]:
    """An SVG for each fault after which writes were acknowledged again, in their order.

    Above, the role of every member as watchers saw it; then every client's operation, by when it
    ended and how long it took; below, what the recovery time is made of. The same history gives the
    same bytes.
    """
    return tuple(_drawn(history, recovery) for recovery in recoveries(history))


def samples(history: History) -> Table:
    """One row for each such fault: recovery time with its error and terms, in seconds; what was
    acknowledged and lost in the whole history, counted; whether the machine was starved. What is
    not known is None."""
    acknowledged = sum(call.ok for call in history.of("add"))
    cells: dict[tuple[str, str], Cell] = {}
    for number, recovery in enumerate(recoveries(history), 1):
        outage = recovery.outage
        row = f"{number}: {_told(outage.fault)}"
        cells[row, "RTO, s"] = f"{outage.seconds:.3f}"
        cells[row, "error, s"] = f"{outage.error:.3f}"
        found = {term.name: term.seconds for term in recovery.terms}
        for name in TERMS:
            cells[row, f"{name}, s"] = f"{found[name]:.3f}" if name in found else None
        cells[row, "explained, %"] = round(100 * recovery.explained)
        cells[row, "acknowledged"] = acknowledged
        cells[row, "RPO, lost"] = lost(history)
        watched = any(call.function == STARVED for call in history.watched)
        well = "not starved" if watched else None
        cells[row, "machine"] = "; ".join(outage.starved) or well
    return Table(cells)


def _drawn(history: History, recovery: Recovery) -> bytes:
    import matplotlib as mpl  # noqa: PLC0415 - see the module
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    outage = recovery.outage
    margin = int(max(_AROUND * outage.seconds, _LEAST) * 1e9)
    zero = outage.fault.invoke.time
    since, until = outage.last.time - margin, outage.until + margin
    settings: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9}
    settings["svg.hashsalt"] = history.digest  # or elements get random names
    with mpl.rc_context(settings):
        figure = Figure(figsize=(11, 6.4), layout="constrained")
        FigureCanvasSVG(figure)
        roles, operations, terms = figure.subplots(3, 1, sharex=True, height_ratios=(1.1, 2.4, 0.8))
        figure.suptitle(_title(history, recovery), fontsize=11, x=0.01, ha="left")
        stretch = _Stretch(zero, since, until)
        _draw_roles(roles, history, stretch)
        _name_faults(roles, history, recovery, stretch)
        _draw_operations(operations, history, stretch)
        _draw_terms(terms, recovery, stretch)
        for axes in (roles, operations, terms):
            _draw_faults(axes, history, recovery, stretch)
            axes.set_xlim(stretch.seconds(since), stretch.seconds(until))
            axes.spines[["top", "right"]].set_visible(False)
        terms.set_xlabel("seconds since the fault was begun")
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": "InfraForge"})
    return written.getvalue()


class _Stretch:
    """The part of a history that is shown: ns, and seconds from `zero`."""

    def __init__(self, zero: int, since: int, until: int) -> None:
        self.zero, self.since, self.until = zero, since, until

    def seconds(self, time: int) -> float:
        return (time - self.zero) / 1e9

    def clipped(self, time: int) -> float:
        return self.seconds(min(max(time, self.since), self.until))

    def has(self, time: int) -> bool:
        return self.since <= time <= self.until


def _title(history: History, recovery: Recovery) -> str:
    outage = recovery.outage
    missing = lost(history)
    told = "unknown (no final read)" if missing is None else str(missing)
    acknowledged = sum(call.ok for call in history.of("add"))
    title = (
        f"{_told(outage.fault)}: RTO {outage.seconds:.3f} s (error {outage.error:.3f} s), "
        f"{recovery.explained:.0%} explained · RPO {told} of {acknowledged} acknowledged adds lost"
    )
    return title + ("" if not outage.starved else f"\nmachine starved: {'; '.join(outage.starved)}")


def _draw_roles(axes: Axes, history: History, stretch: _Stretch) -> None:
    """One row for each member: what it said it was, from one look to the next that differs."""
    looks: dict[str, list[Call]] = {}
    for call in history.watched:
        if call.function == "role" and call.key is not None and call.completion:
            looks.setdefault(call.key, []).append(call)
    members = sorted(looks)
    used: dict[str, None] = {}
    for row, member in enumerate(members):
        for role, timeline, begin, end in _reigns(looks[member]):
            if end < stretch.since or begin > stretch.until:
                continue
            left, right = stretch.clipped(begin), stretch.clipped(end)
            colour, ink = _ROLES[role]
            used[role] = None
            axes.barh(row, right - left, left=left, height=0.7, color=colour, edgecolor="white")
            if right - left > 0.06 * stretch.seconds(stretch.until + stretch.zero - stretch.since):
                said = role if timeline is None else f"{role}, timeline {timeline}"
                middle = (left + right) / 2
                axes.text(middle, row, said, ha="center", va="center", color=ink, zorder=4)
    axes.set_yticks(range(len(members)), members)
    axes.invert_yaxis()
    axes.set_ylabel("role of member")
    if not members:
        axes.text(0.5, 0.5, "nobody watched the members", ha="center", transform=axes.transAxes)


def _reigns(looks: list[Call]) -> list[tuple[str, int | None, int, int]]:
    """(role, timeline, since, until): of looks one after the other, those alike as one."""
    found: list[tuple[str, int | None, int, int]] = []
    for call in looks:
        role, timeline = "no answer", None
        if call.ok and isinstance(call.value, tuple) and isinstance(call.value[1], int):
            role, timeline = str(call.value[0]), call.value[1]
        assert call.completion
        # a look that failed says so from when it was begun
        seen = call.completion.time if call.ok else call.invoke.time
        if found:
            found[-1] = (*found[-1][:3], max(seen, found[-1][2]))
        if not found or found[-1][:2] != (role, timeline):
            found.append((role, timeline, seen, call.completion.time))
        else:
            found[-1] = (*found[-1][:3], call.completion.time)
    return found


def _draw_operations(axes: Axes, history: History, stretch: _Stretch) -> None:
    for outcome, (colour, label, marker) in _OUTCOMES.items():
        calls = [
            call
            for call in history.clients
            if call.completion and call.outcome is outcome and stretch.has(call.completion.time)
        ]
        shown = calls[:: max(1, -(-len(calls) // _MOST))]
        ends = [call.completion.time for call in shown if call.completion]
        took = [
            max((call.completion.time - call.invoke.time) / 1e6, 0.01)
            for call in shown
            if call.completion
        ]
        at = [stretch.seconds(end) for end in ends]
        told = f"{label}: {len(calls)}"
        axes.scatter(at, took, s=14, c=colour, marker=marker, label=told, linewidths=1)
    axes.set_yscale("log")
    axes.set_ylabel("operation took, ms")
    axes.grid(axis="y", color=_PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, frameon=False)


def _draw_terms(axes: Axes, recovery: Recovery, stretch: _Stretch) -> None:
    outage = recovery.outage
    whole = outage.until - outage.last.time
    axes.barh(
        *(0, whole / 1e9),
        left=stretch.seconds(outage.last.time),
        height=0.6,
        color="white",
        edgecolor=_GREY,
        hatch="////",
        label="not explained",
    )
    at = {mark.name: mark.at for mark in recovery.marks}
    begins = dict(zip(TERMS, ("struck", "detected", "elected", "promoted", "routed"), strict=True))
    for term in recovery.terms:
        axes.barh(
            *(0, term.seconds),
            left=stretch.seconds(at[begins[term.name]]),
            height=0.6,
            color=_TERMS[term.name],
            label=f"{term.name} {term.seconds:.3f} s",
        )
    axes.set_yticks([0], ["RTO"])
    axes.set_ylim(-0.5, 1.6)
    legend = axes.legend(loc="upper center", ncols=6, fontsize=8, framealpha=1, edgecolor="white")
    legend.set_zorder(4)


def _draw_faults(axes: Axes, history: History, recovery: Recovery, stretch: _Stretch) -> None:
    outage = recovery.outage
    begin, end = stretch.seconds(outage.last.time), stretch.seconds(outage.until)
    axes.axvspan(begin, end, color=_RED, alpha=0.07, zorder=0)
    for call in history.calls:
        if call.process == NEMESIS and stretch.has(call.invoke.time):
            colour = _GREEN if call.function == HEAL else _RED
            axes.axvline(stretch.seconds(call.invoke.time), color=colour, linewidth=1.2, zorder=3)


def _name_faults(axes: Axes, history: History, recovery: Recovery, stretch: _Stretch) -> None:
    """Above the topmost panel: which fault a red line is, and what is shaded."""
    outage = recovery.outage
    for told, time in [(_told(fault), fault.invoke.time) for fault in history.faults]:
        if stretch.has(time):
            at = stretch.seconds(time)
            axes.text(at, 1.02, f"{told} ", transform=axes.get_xaxis_transform(), ha="right")
    begin = stretch.seconds(outage.last.time)
    told = f" no write acknowledged for {outage.seconds:.3f} s"
    axes.text(begin, 1.02, told, transform=axes.get_xaxis_transform(), color=_RED)


def _told(fault: Call) -> str:
    """`killed pg-0`: the fault's name and whom it was aimed at."""
    aim = fault.invoke.value
    return fault.function if aim is None else f"{fault.function} {aim}"
