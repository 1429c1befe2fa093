"""A run's result for each control: from the tests that carry it, and the crosswalk.

A control is green only if all of its tests are. The markers of the whole suites decide which tests
those are, not the tests that happened to run: one of thirty means "partly assessed".
"""

from __future__ import annotations

import enum
import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infraforge.report.index import Index
from infraforge.verdict import Outcome


class State(enum.StrEnum):
    """The state of a control."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    PARTLY = "partly assessed"
    NOT_ASSESSED = "not assessed"


NOT_RUN = "did not run"
INAPPLICABLE = "does not apply"
_RAN = (Outcome.HOLDS, Outcome.BROKEN, Outcome.UNKNOWN)


@dataclass(frozen=True)
class Assessed:
    """One control. tests: each of its tests → its outcome, `NOT_RUN` or `INAPPLICABLE`.

    whole: whether all of the control's tests are known.
    """

    id: str
    framework: str
    title: str
    tests: Mapping[str, str]
    whole: bool = True

    @property
    def state(self) -> State:
        """Broken over unknown; otherwise it holds only where each applicable test does."""
        said = set(self.tests.values()) - {INAPPLICABLE}
        for worse in (State.BROKEN, State.UNKNOWN):
            if worse.value in said:
                return worse
        if State.HOLDS.value not in said:
            return State.NOT_ASSESSED
        return State.HOLDS if self.whole and said == {State.HOLDS.value} else State.PARTLY

    @property
    def counts(self) -> tuple[int, int]:
        """The number of its tests that ran, and of those that apply."""
        ran = sum(said in _RAN for said in self.tests.values())
        return ran, sum(said != INAPPLICABLE for said in self.tests.values())

    def to_dict(self) -> dict[str, Any]:
        ran, applying = self.counts
        return {
            "id": self.id,
            "framework": self.framework,
            "title": self.title,
            "state": str(self.state),
            "ran": ran,
            "of": applying,
            "tests": dict(self.tests),
        }


def assess(index: Index, crosswalk: Mapping[str, Mapping[str, str]]) -> list[Assessed]:
    """Each control of the crosswalk, in its order, with the results of its tests."""
    carrying: dict[str, dict[str, str]] = {}
    inapplicable = index.inapplicable()
    expected = {node: entry.controls for node, entry in index.tests.items()}
    expected |= index.expected or {}
    for node, controls in sorted(expected.items()):
        entry = index.tests.get(node)
        said = entry.outcome.value if entry and entry.outcome in _RAN else NOT_RUN
        for control in controls:
            tests = carrying.setdefault(control, {})
            tests[node] = INAPPLICABLE if node in inapplicable else said
    whole = index.expected is not None
    return [
        Assessed(name, entry["framework"], entry["title"], carrying.get(name, {}), whole)
        for name, entry in crosswalk.items()
    ]


def heading(index: Index) -> str:
    """The run that a report is about, in one line."""
    commit = f"commit {index.commit[:12]}" if index.commit else "no commit known"
    commit += " with changes that are not committed" if index.dirty else ""
    profile = f"profile {index.profile.name}" if index.profile else "no profile"
    ended = f"ended {index.ended}" if index.ended else "did not end"
    return f"run {index.run} · {commit} · {profile} · began {index.started} · {ended}"


def files(index: Index, controls: Sequence[Assessed]) -> tuple[str, str]:
    """The controls as written to disk: JSON for programs, and the page."""
    kept = json.dumps([control.to_dict() for control in controls], indent=1, ensure_ascii=False)
    return f"{kept}\n", page(index, controls)


def page(index: Index, controls: Sequence[Assessed]) -> str:
    """The controls as one plain HTML page with the run's heading."""
    counts = Counter(control.state for control in controls)
    lacks = f" {index.expected_lacks}" if index.expected is None else ""
    return _PAGE.format(
        heading=html.escape(heading(index)),
        concluded=html.escape(_concluded(index) + lacks),
        counts=" · ".join(f"{counts[state]} {state}" for state in State),
        rows="\n".join(_row(control) for control in controls),
    )


def _concluded(index: Index) -> str:
    said = index.concluded
    if said.exit_code is None:
        return "The run did not end, so it has no result as a whole."
    tally = " · ".join(f"{said.tally.get(outcome, 0)} {outcome}" for outcome in Outcome)
    missing = f"; {len(said.missing)} required tests did not run" if said.missing else ""
    return f"Tests: {tally}{missing}. Exit code {said.exit_code}."


def _row(control: Assessed) -> str:
    ran, applying = control.counts
    cells = "".join(
        f"<td>{html.escape(cell)}</td>" for cell in (control.id, control.framework, control.title)
    )
    state = str(control.state)
    told = f"<strong>{state}</strong><br>{ran} of {applying} tests ran"
    tests = "".join(_test(name, said) for name, said in _grouped(control.tests))
    shown = f"<details><summary>{len(control.tests)} tests</summary><ul>{tests}</ul></details>"
    kind, shown = state.replace(" ", "-"), shown if control.tests else "none"
    return f'<tr>{cells}<td class="{kind}">{told}</td><td>{shown}</td></tr>'


def _grouped(tests: Mapping[str, str]) -> list[tuple[str, str]]:
    """Test → its result; cases of one test with the same result share a line."""
    groups = Counter((node.split("[")[0], said) for node, said in tests.items())
    return [
        (f"{name} ({number} cases)" if number > 1 else name, said)
        for (name, said), number in groups.items()
    ]


def _test(name: str, said: str) -> str:
    kind = said.replace(" ", "-")
    return f'<li><span class="{kind}">{html.escape(said)}</span> {html.escape(name)}</li>'


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Controls</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
th {{ background: #f2f2f2; }}
td:last-child {{ font-size: 13px; min-width: 22rem; overflow-wrap: anywhere; }}
ul {{ margin: .3rem 0; padding-left: 1.2rem; }}
span {{ padding: 0 .3rem; }}
td:nth-child(4) {{ white-space: nowrap; }}
.holds {{ background: #d9f2d9; }}
.broken {{ background: #f8cccc; }}
.unknown {{ background: #fdebc8; }}
.partly-assessed {{ background: #e4e4fa; }}
.not-assessed, .did-not-run, .does-not-apply {{ background: #eee; }}
</style>
</head>
<body>
<h1>Controls</h1>
<p>{heading}</p>
<p>{concluded}</p>
<p>{counts}. A control holds only where each of its tests that applies to the profile ran and holds.
<a href="index.html">All tests</a></p>
<table>
<thead><tr><th>Control</th><th>Framework</th><th>Title</th><th>State</th><th>Tests</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""
