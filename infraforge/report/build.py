"""One folder that says what a run found: Allure's page, the controls, the timings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.evidence import REPORTS, TIMINGS, known_controls
from infraforge.report import allure, controls

RESULTS = REPORTS / "allure-results"
REPORT = REPORTS / "allure-report"
TITLE = "InfraForge"


def generate(results: Path = RESULTS, out: Path = REPORT, history: Path | None = None) -> Path:
    """The report of `results` in `out`, made anew; its page, which opens without a server.

    history: a file in which past runs are kept, for trends.
    Raises UsageError where there are no results.
    """
    found = controls.read_results(results) if results.is_dir() else []
    if not found:
        raise UsageError(f"no test results in {results}; run the suites with --alluredir={results}")
    page = allure.render(results, out, TITLE, history)
    assessed = controls.assess(found, known_controls())
    kept = json.dumps([control.to_dict() for control in assessed], indent=1, ensure_ascii=False)
    (out / "controls.json").write_text(f"{kept}\n")
    (out / "controls.html").write_text(controls.page(assessed))
    if (results.parent / TIMINGS).exists():
        shutil.copyfile(results.parent / TIMINGS, out / TIMINGS)
    return page
