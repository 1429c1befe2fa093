"""A history as a picture: a lane for each process, a bar for each call, the evidence marked.

`Timeline.of` lays a history out; `svg` and `page` draw it for a browser, `rows` for a terminal. A
short history is drawn by the order of its operations, which is what checkers judge; a long one by
its clock. Nothing here does I/O.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from dataclasses import dataclass

from infraforge.history import HEAL, NEMESIS, Call, History, Kind, Operation, Value
from infraforge.verdict import Outcome, Verdict

_BY_ORDER = 60
"""Up to so many operations, each has a column of its own."""

_LEFT, _RIGHT, _TOP, _LANE, _BAR = 110, 30, 46, 52, 22
_LETTER = 6.3
"""SVG, in user units: margins, the height of a lane and of a bar, the width of a letter."""

_FILL = {Kind.OK: "#2f6f9f", Kind.FAIL: "#8a8a8a", Kind.INFO: "#b7791f"}
_MARKED, _FAULT = "#c0262d", "#f3d9a8"
_STATE = {Outcome.HOLDS: "#2e7d4f", Outcome.BROKEN: _MARKED, Outcome.UNKNOWN: "#b7791f"}


@dataclass(frozen=True)
class Bar:
    """One call. lane: which row; begin, end: columns, end is that of the last column for a call
    that may still take effect; marked: whether the verdict rests on it."""

    call: Call
    lane: int
    begin: float
    end: float
    marked: bool

    @property
    def label(self) -> str:
        """Function and result in few letters: `read v3`, `write v4`, `write ?`, `write failed`."""
        if self.call.outcome is Kind.FAIL:
            return f"{self.call.function} failed"
        if self.call.outcome is Kind.INFO:
            return f"{self.call.function} ?"
        if self.call.process == NEMESIS:
            return self.call.function
        return f"{self.call.function} {_brief(self.call)}".strip()

    @property
    def told(self) -> str:
        """The call's operations, a line each."""
        return "\n".join(str(operation) for operation in self.call.operations)


@dataclass(frozen=True)
class Timeline:
    """A history laid out. columns: the width in which bars are placed; seconds: what it spans;
    faults: bars of the nemesis, each reaching to the heal that ended it."""

    lanes: tuple[str, ...]
    bars: tuple[Bar, ...]
    faults: tuple[Bar, ...]
    columns: float
    seconds: float
    by_order: bool

    @classmethod
    def of(cls, history: History, marked: Iterable[Operation] = ()) -> Timeline:
        """Lay `history` out. marked: the operations that a verdict rests on."""
        operations, marks = history.operations, set(marked)
        by_order = len(operations) <= _BY_ORDER
        first = operations[0].time if operations else 0
        spans = (operations[-1].time - first) if operations else 0

        def place(at: int) -> float:
            return float(at) if by_order else (operations[at].time - first) / 1e9

        columns = float(len(operations)) if by_order else spans / 1e9
        lanes = tuple(sorted({call.process for call in history.calls}, key=_nemesis_last))
        bars = tuple(
            Bar(
                call,
                lanes.index(call.process),
                place(call.start),
                columns if call.end is None else place(call.end),
                bool(marks & set(call.operations)),
            )
            for call in history.calls
        )
        return cls(lanes, bars, _faults(bars, columns), columns, spans / 1e9, by_order)

    def rows(self, width: int) -> list[tuple[str, str, list[tuple[int, int, Bar]]]]:
        """For a terminal: of each lane its name, its row of bars and its row of labels.

        width: characters of a row. The labels' row is the text that belongs below the bars'. With
        them come the stretches (begin, end, bar) of the bars' row, for colours.
        """
        found = []
        for lane, name in enumerate(self.lanes):
            row, labels = [" "] * width, [" "] * width
            stretches = []
            for bar in (bar for bar in self.bars if bar.lane == lane):
                begin, end = self._letters(bar, width)
                row[begin:end] = _drawn(bar, end - begin)
                stretches.append((begin, end, bar))
                room = labels[begin : begin + len(bar.label) + 1]
                if len(room) > len(bar.label) and not "".join(room).strip():
                    labels[begin : begin + len(bar.label)] = bar.label
            found.append((name, "".join(row) + "\n" + "".join(labels).rstrip(), stretches))
        return found

    def _letters(self, bar: Bar, width: int) -> tuple[int, int]:
        scale = (width - 1) / (self.columns or 1.0)
        begin = min(int(bar.begin * scale), width - 1)
        return begin, max(begin + 1, min(int(bar.end * scale) + 1, width))

    def svg(self, width: int = 1000) -> str:
        """A picture of its own, with no script and nothing fetched. width: user units."""
        height = _TOP + _LANE * len(self.lanes) + 34
        scale = (width - _LEFT - _RIGHT) / (self.columns or 1.0)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" font-family="sans-serif" '
            f'font-size="12">',
            "<title>Timeline of a history: a lane for each process, a bar for each call</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]
        bottom = _TOP + _LANE * len(self.lanes)
        for fault in self.faults:
            x, wide = _LEFT + fault.begin * scale, max(2.0, (fault.end - fault.begin) * scale)
            parts.append(
                f'<rect x="{x:.1f}" y="{_TOP - 18}" width="{wide:.1f}" '
                f'height="{bottom - _TOP + 18}" fill="{_FAULT}"/>'
                f'<text x="{x + 4:.1f}" y="{_TOP - 6}" fill="#5c4300">'
                f"{html.escape(fault.call.function)}</text>"
            )
        for lane, name in enumerate(self.lanes):
            y = _TOP + _LANE * lane + _LANE / 2
            parts.append(
                f'<text x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end" fill="#222222">'
                f"{html.escape(name)}</text>"
                f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{width - _RIGHT}" y2="{y:.1f}" '
                f'stroke="#dddddd"/>'
            )
        parts += [self._bar(bar, scale) for bar in self.bars]
        scaled = "each operation is one step" if self.by_order else f"{self.seconds:.3g} s"
        parts.append(
            f'<text x="{_LEFT}" y="{bottom + 22}" fill="#555555">time → ({scaled}); '
            f"red: the calls that the verdict rests on</text></svg>"
        )
        return "\n".join(parts) + "\n"

    def _bar(self, bar: Bar, scale: float) -> str:
        x, y = _LEFT + bar.begin * scale, _TOP + _LANE * bar.lane + (_LANE - _BAR) / 2
        wide = max(3.0, (bar.end - bar.begin) * scale)
        fill = _MARKED if bar.marked else _FILL[bar.call.outcome]
        drawn = (
            f'<g><title>{html.escape(bar.told)}</title><rect x="{x:.1f}" y="{y:.1f}" '
            f'width="{wide:.1f}" height="{_BAR}" rx="4" fill="{fill}"/>'
        )
        if len(bar.label) * _LETTER + 8 <= wide:
            drawn += (
                f'<text x="{x + 5:.1f}" y="{y + 15:.1f}" fill="#ffffff">'
                f"{html.escape(bar.label)}</text>"
            )
        elif bar.marked or self.by_order:
            drawn += (
                f'<text x="{x:.1f}" y="{y + _BAR + 13:.1f}" fill="#222222">'
                f"{html.escape(bar.label)}</text>"
            )
        return f"{drawn}</g>"

    def page(self, title: str, verdict: Verdict, story: str = "") -> str:
        """An HTML page: the verdict in words, the picture, and what each bar stands for."""
        colour = _STATE[verdict.outcome]
        return _PAGE.format(
            title=html.escape(title),
            story=html.escape(story),
            colour=colour,
            outcome=html.escape(str(verdict.outcome)),
            verdict=html.escape(verdict.explain()),
            svg=self.svg(),
            ok=_FILL[Kind.OK],
            fail=_FILL[Kind.FAIL],
            info=_FILL[Kind.INFO],
            marked=_MARKED,
        )


def _faults(bars: tuple[Bar, ...], columns: float) -> tuple[Bar, ...]:
    """From each fault's beginning to the end of the heal after it, or to the end of all."""
    nemesis = [bar for bar in bars if bar.call.process == NEMESIS]
    heals = [bar for bar in nemesis if bar.call.function == HEAL]
    found = []
    for bar in (bar for bar in nemesis if bar.call.function != HEAL):
        ends = [heal.end for heal in heals if heal.begin >= bar.begin]
        found.append(Bar(bar.call, bar.lane, bar.begin, min(ends, default=columns), bar.marked))
    return tuple(found)


def _drawn(bar: Bar, letters: int) -> str:
    """A bar in text: double where it is marked, open at the right where no answer came."""
    left, line, right, alone = "╠═╣║" if bar.marked else "├─┤│"
    if letters == 1:
        return alone
    return left + line * (letters - 2) + (right if bar.call.end is not None else "┄")


def _brief(call: Call) -> str:
    value: Value = call.value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int):
        return f"v{value[0]}"
    if value is None:
        return "absent" if call.function == "read" else ""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 14 else f"{text[:13]}…"


def _nemesis_last(process: str) -> tuple[bool, str]:
    return process == NEMESIS, process


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }}
pre {{ background: #f6f6f6; border-left: 6px solid {colour}; padding: .8rem; overflow-x: auto; }}
svg {{ max-width: 100%; height: auto; }}
.outcome {{ color: {colour}; font-weight: bold; }}
.key {{ display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; }}
</style>
</head>
<body>
<h1>{title}: <span class="outcome">{outcome}</span></h1>
<p>{story}</p>
{svg}
<p><span class="key" style="background:{ok}"></span> succeeded
 · <span class="key" style="background:{fail}"></span> surely did not happen
 · <span class="key" style="background:{info}"></span> no answer: nobody can tell
 · <span class="key" style="background:{marked}"></span> what the verdict rests on.
 Point at a bar to read its operations.</p>
<h2>The verdict</h2>
<pre>{verdict}</pre>
</body>
</html>
"""
