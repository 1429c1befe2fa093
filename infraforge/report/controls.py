"""What a run says of each control: from the tests' results and the crosswalk."""

from __future__ import annotations

import enum
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class State(enum.StrEnum):
    """Of a control. One that no test touched is never green."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    NOT_ASSESSED = "not assessed"


_SAYS = {"passed": State.HOLDS, "failed": State.BROKEN, "broken": State.UNKNOWN}
"""What a test's status in Allure says; of any other (skipped) the test did not run."""

_WORST = (State.BROKEN, State.UNKNOWN, State.HOLDS, State.NOT_ASSESSED)


@dataclass(frozen=True)
class Assessed:
    """One control. tests: each test's name and what it says."""

    id: str
    framework: str
    title: str
    tests: tuple[tuple[str, State], ...]

    @property
    def state(self) -> State:
        return min((state for _, state in self.tests), key=_WORST.index, default=State.NOT_ASSESSED)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "framework": self.framework,
            "title": self.title,
            "state": str(self.state),
            "tests": {name: str(state) for name, state in self.tests},
        }


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Allure's result of each test that ran."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*-result.json"))]


def assess(
    results: Iterable[Mapping[str, Any]], crosswalk: Mapping[str, Mapping[str, str]]
) -> list[Assessed]:
    """Each control of the crosswalk, in its order, with what its tests say."""
    says: dict[str, dict[str, State]] = {}
    for result in results:
        name = str(result.get("fullName") or result.get("name"))
        name += "".join(f" [{item['value']}]" for item in result.get("parameters", ()))
        state = _SAYS.get(str(result.get("status")), State.NOT_ASSESSED)
        for label in result.get("labels", ()):
            if label["name"] == "control":
                tests = says.setdefault(label["value"], {})
                tests[name] = min(state, tests.get(name, state), key=_WORST.index)
    return [
        Assessed(name, entry["framework"], entry["title"], tuple(says.get(name, {}).items()))
        for name, entry in crosswalk.items()
    ]


def page(controls: Sequence[Assessed]) -> str:
    """The controls as one plain HTML page."""
    return _PAGE.format(
        counts=" · ".join(
            f"{sum(control.state is state for control in controls)} {state}" for state in State
        ),
        rows="\n".join(_row(control) for control in controls),
    )


def _row(control: Assessed) -> str:
    tests = "<br>".join(
        f"{html.escape(str(state))}: {html.escape(name)}" for name, state in control.tests
    )
    cells = [control.id, control.framework, control.title]
    said = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    state = str(control.state)
    return f'<tr>{said}<td class="{state.replace(" ", "-")}">{state}</td><td>{tests}</td></tr>'


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Controls</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
th {{ background: #f2f2f2; }}
td:last-child {{ font-size: 13px; }}
.holds {{ background: #d9f2d9; }}
.broken {{ background: #f8cccc; }}
.unknown {{ background: #fdebc8; }}
.not-assessed {{ color: #777; }}
</style>
</head>
<body>
<h1>Controls</h1>
<p>{counts}. A control whose tests did not run is not assessed.
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
