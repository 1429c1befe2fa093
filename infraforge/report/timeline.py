"""A history as a picture: one lane per process, one bar per call, evidence in red. Pure.

The drawing is Lamport's space-time diagram turned sideways, as Jepsen and Porcupine draw histories:
time runs from left to right, and bars that overlap are calls that ran at the same time. The scale
of time is the order of the history's lines, not its clock: a history is judged by its order
(`history`), and a call of a microsecond stays readable beside one of a second.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from infraforge.history import NEMESIS, Call, History, Kind, Operation
from infraforge.verdict import Outcome, Verdict

_LANE, _BAR, _LEFT, _STEP, _TOP = 48, 30, 110, 126, 46
_FONT = "ui-sans-serif, system-ui, sans-serif"
_PLAIN, _MARKED, _FAULT = ("#dbe7f7", "#5b7fb0"), ("#fbd5d5", "#c0262d"), ("#ececec", "#777777")
COLOURS = {Outcome.HOLDS: "#1a7f37", Outcome.BROKEN: "#c0262d", Outcome.UNKNOWN: "#9a6700"}
_ENDS = {Kind.OK: "", Kind.FAIL: " (failed)", Kind.INFO: " (no answer)"}


def drawn(history: History, verdict: Verdict, names: Mapping[str, str] | None = None) -> str:
    """Draw `history` as an SVG document with the verdict's words under it.

    A call is red if the verdict rests on one of its operations. names: process → the name of its
    lane, where the process's own name says too little. Raises ValueError for an empty history.
    """
    if not history.calls:
        raise ValueError("the history is empty: there is nothing to draw")
    lanes = list(dict.fromkeys(call.process for call in history.calls))
    marked = set(_evidence(verdict))
    words = _wrapped(f"{verdict.name}: {verdict.outcome}. {verdict.explanation}", 96)
    width = _LEFT + (len(history) + 1) * _STEP
    height = _TOP + len(lanes) * _LANE + 16 + 20 * len(words) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="{_FONT}">',
        f"<title>{html.escape(' '.join(words))}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="12" fill="#666666">time →</text>',
    ]
    for at, process in enumerate(lanes):
        y = _TOP + at * _LANE + _BAR // 2
        name = html.escape((names or {}).get(process, process))
        parts.append(
            f'<text x="12" y="{y + 5}" font-size="14" fill="#222222">{name}</text>'
            f'<line x1="{_LEFT}" y1="{y}" x2="{width - 12}" y2="{y}" stroke="#e2e2e2"/>'
        )
    keys = {call.key for call in history.clients}
    for call in history.calls:
        colours = _colours(call, evidence=bool(marked.intersection(call.operations)))
        label = _label(call, keyed=len(keys) > 1)
        top = _TOP + lanes.index(call.process) * _LANE
        parts.append(_bar(call, label, top, len(history), colours))
    bottom = _TOP + len(lanes) * _LANE + 24
    parts += [
        f'<text x="12" y="{bottom + 20 * row}" font-size="14" font-weight="600" '
        f'fill="{COLOURS[verdict.outcome]}">{html.escape(line)}</text>'
        for row, line in enumerate(words)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colours(call: Call, *, evidence: bool) -> tuple[str, str]:
    if evidence:
        return _MARKED
    return _FAULT if call.process == NEMESIS else _PLAIN


def _bar(call: Call, label: str, top: int, length: int, colours: tuple[str, str]) -> str:
    """One call, with a dashed outline where it never completed or nobody can tell."""
    fill, stroke = colours
    end = length if call.end is None else call.end
    x, width = _LEFT + (call.start + 0.5) * _STEP, max(1, end - call.start) * _STEP
    dashes = ' stroke-dasharray="5 4"' if call.end is None else ""
    return (
        f'<rect x="{x:.0f}" y="{top}" width="{width:.0f}" height="{_BAR}" rx="4" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="2"{dashes}/>'
        f'<text x="{x + width / 2:.0f}" y="{top + 20}" font-size="13" text-anchor="middle" '
        f'fill="#111111">{html.escape(label)}</text>'
    )


def _label(call: Call, *, keyed: bool) -> str:
    """What was done and what came of it: `write version 3`, `read x → version 2`."""
    said = f"{call.function} {call.key}" if keyed and call.key is not None else call.function
    if call.function == "read" and call.ok:
        said += f" → {_value(call.value)}"
    elif call.value is not None:
        said += f" {_value(call.value)}"
    return said + _ENDS[call.outcome]


def _value(value: object) -> str:
    if value is None:
        return "absent"
    versioned = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int)
    return f"version {value[0]}" if versioned and isinstance(value, tuple) else str(value)


def _evidence(verdict: Verdict) -> list[Operation]:
    inner = [operation for part in verdict.parts for operation in _evidence(part)]
    return [*verdict.evidence, *inner]


def _wrapped(text: str, width: int) -> Sequence[str]:
    lines = [""]
    for word in text.split():
        fits = len(lines[-1]) + 1 + len(word) <= width
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if fits else [*lines, word]
    return lines
