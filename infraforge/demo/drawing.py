"""A short history in letters, for a terminal, and as an HTML page around the project's own SVG.

As in `report/timeline.py`: a lane for each process, a bar for each call, and the scale of time is
the order of the history's lines, which is what checkers judge.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from infraforge.history import Call, History, Kind
from infraforge.report import timeline
from infraforge.verdict import Verdict

_PLAIN, _MARKED = ("├", "─", "┤", "│"), ("╠", "═", "╣", "║")
"""Left end, line, right end; and a bar of one letter."""

_ENDS = {Kind.OK: "", Kind.FAIL: " failed", Kind.INFO: " ?"}


@dataclass(frozen=True)
class Lane:
    """One process. bars, labels: two lines of text; marked: stretches (begin, end) of `bars` on
    which the verdict rests."""

    process: str
    bars: str
    labels: str
    marked: tuple[tuple[int, int], ...]


def lanes(history: History, verdict: Verdict, width: int) -> list[Lane]:
    """Each process' lane, `width` letters wide, by name.

    Bars on which the verdict rests are double, one without an answer is open at its right end. A
    label is left out where it does not fit beside the one before it.
    """
    evidence = set(verdict.evidence)
    scale = (width - 1) / max(1, len(history))
    found = []
    for process in sorted({call.process for call in history.calls}):
        bars, labels, marked = [" "] * width, [" "] * width, []
        for call in (call for call in history.calls if call.process == process):
            begin = int(call.start * scale)
            end = width if call.end is None else min(width, int(call.end * scale) + 1)
            double = bool(evidence & set(call.operations))
            bars[begin:end] = _bar(call, end - begin, _MARKED if double else _PLAIN)
            marked += [(begin, end)] * double
            label = _label(call)
            room = labels[max(0, begin - 1) : begin + len(label)]
            if begin + len(label) <= width and not "".join(room).strip():
                labels[begin : begin + len(label)] = label
        found.append(Lane(process, "".join(bars), "".join(labels).rstrip(), tuple(marked)))
    return found


def page(title: str, story: str, history: History, verdict: Verdict) -> str:
    """A page with the verdict in words and the picture; no script, and nothing is fetched."""
    return _PAGE.format(
        title=html.escape(title),
        story=html.escape(story),
        colour=timeline.COLOURS[verdict.outcome],
        outcome=html.escape(str(verdict.outcome)),
        verdict=html.escape(verdict.explain()),
        svg=timeline.drawn(history, verdict),
    )


def _bar(call: Call, letters: int, style: tuple[str, str, str, str]) -> str:
    left, line, right, alone = style
    if letters <= 1:
        return alone
    return left + line * (letters - 2) + (right if call.end is not None else line)


def _label(call: Call) -> str:
    """Function and version in few letters: `read v3`, `write v4`, `write ?`."""
    value = call.value
    versioned = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int)
    said = f" v{value[0]}" if call.ok and isinstance(value, tuple) and versioned else ""
    return call.function + said + _ENDS[call.outcome]


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }}
pre {{ background: #f6f6f6; border-left: 6px solid {colour}; padding: .8rem; overflow-x: auto; }}
svg {{ max-width: 100%; height: auto; }}
.outcome {{ color: {colour}; }}
</style>
</head>
<body>
<h1>{title}: <span class="outcome">{outcome}</span></h1>
<p>{story}</p>
{svg}
<p>A lane is a process, a bar is a call: bars that overlap ran at the same time. Red are the calls
that the verdict rests on.</p>
<h2>The verdict</h2>
<pre>{verdict}</pre>
</body>
</html>
"""
