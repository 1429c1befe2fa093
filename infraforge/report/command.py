"""`infraforge report` and `infraforge verify BUNDLE`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infraforge.evidence import REPORTS
from infraforge.report import build, bundle

BUNDLE = REPORTS / "bundle" / "evidence.zip"
_HOLDS, _BROKEN, _UNKNOWN = 0, 1, 2


def configure(commands: Any) -> None:
    """Add both commands to the subparsers; each sets `run`."""
    making = commands.add_parser(
        "report", help="Allure HTML, controls and evidence bundle of a run"
    )
    making.add_argument("--results", type=Path, default=build.RESULTS, help="(%(default)s)")
    making.add_argument("--out", type=Path, default=build.REPORT, help="(%(default)s)")
    making.add_argument("--bundle", type=Path, default=BUNDLE, help="(%(default)s)")
    making.add_argument("--history", type=Path, help="a file that keeps past runs, for trends")
    making.set_defaults(run=report)
    checking = commands.add_parser("verify", help="check a bundle, recompute its verdicts offline")
    checking.add_argument("bundle", type=Path, metavar="BUNDLE")
    checking.set_defaults(run=verify)


def report(options: argparse.Namespace) -> int:
    """Make report and bundle; 0, whatever the results are."""
    page = build.generate(options.results, options.out, options.history)
    print(f"report: {page}")
    print(f"controls: {page.with_name('controls.html')}")
    digest = bundle.pack([options.results, options.out], options.bundle)
    print(f"bundle: {options.bundle} (sha256 {digest})")
    return _HOLDS


def verify(options: argparse.Namespace) -> int:
    """0: all is as it was kept, 1: something is not, 2: no verdict could be recomputed."""
    files = bundle.unpack(options.bundle)
    damage = bundle.damaged(files)
    for line in damage:
        print(f"damaged: {line}")
    judged = bundle.judge(files)
    table = Table(box=None)
    for title in ("verdict", "kept", "recomputed", ""):
        table.add_column(title)
    for one in judged:
        now = "" if one.again is None else str(one.again)
        said = "" if one.agrees else "DIFFERS: "
        table.add_row(one.name, str(one.kept), now, f"{said}{one.reason}")
    Console().print(table)
    differing = [one for one in judged if not one.agrees]
    again = sum(one.again is not None for one in judged)
    print(
        f"{len(files)} files, {len(damage)} damaged; {len(judged)} verdicts, {again} recomputed, "
        f"{len(differing)} differ"
    )
    if damage or differing:
        return _BROKEN
    return _HOLDS if again else _UNKNOWN
