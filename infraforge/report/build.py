"""One folder with the results of one run: Allure's page, the controls, the timings."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from infraforge import files, folders, places, runs
from infraforge.errors import InfraForgeError, UsageError
from infraforge.evidence import REPORTS, SHIPPED, known_controls
from infraforge.places import (
    made_aside,
    mark,
    refuse_foreign_file,
    refuse_foreign_folder,
)
from infraforge.report import allure, bundle, controls
from infraforge.report.index import Index
from infraforge.runs import Run

REPORT = REPORTS / "allure-report"
CROSSWALK = SHIPPED / "controls.toml"
HISTORY = "allure-history.jsonl"
"""In the folder of the runs: what Allure keeps of past runs, for its trends."""

_REPORTED = "reported"


class RunUnreadable(InfraForgeError):
    """The file is not a run's index; says which file, and why."""


def generate(run: Run, out: Path = REPORT, history: Path | None = None) -> Path:
    """`make`, one report at a time."""
    with locked():
        return make(run, out, history)


def make(run: Run, out: Path = REPORT, history: Path | None = None) -> Path:
    """Write the run's report to `out`, whole or not at all; its page, which needs no server.

    history: file that keeps past runs, for trends; each run is added once.
    Raises UsageError where `out` is not ours to replace, or the run's results are gone.
    """
    refuse_foreign(out, history)
    index = read(run)
    results = bundle.results_of(run, index)
    if not any(results.glob("*-result.json")):
        raise UsageError(f"no test of run {run.id} left a result; see: infraforge report --list")
    with run.in_use(), made_aside(out) as new:
        added = run.folder / _REPORTED  # each run is added once to our own history
        kept = history or run.folder.parent / HISTORY
        page = allure.render(
            results, new, title(index), kept, append=bool(history) or not added.exists()
        )
        for name, text in zip(
            ("controls.json", "controls.html"),
            controls.files(index, controls.assess(index, known_controls())),
            strict=True,
        ):
            (new / name).write_text(text)
        if not history:
            _keep_latest(kept)
        if run.timings.exists():
            shutil.copyfile(run.timings, new / runs.TIMINGS)
        mark(new, run.id)
        added.touch()
    return out / page.name


def refuse_foreign(out: Path, history: Path | None = None) -> None:
    """Raise UsageError where a target exists that the report did not make."""
    protected = {
        "the user's home": places.home(),
        "this repository": REPORTS.parent,
        "InfraForge itself": folders.root(),
        "the folder that you are in": Path.cwd(),
    }
    refuse_foreign_folder(out, protected)
    if out.resolve().is_relative_to((REPORTS / "runs").resolve()):
        raise UsageError(f"{out} is among the results of runs; name a folder elsewhere")
    if history:
        refuse_foreign_file(history, "a history of Allure's", _is_history)


def read(run: Run) -> Index:
    """The run's index. Raises RunUnreadable where it is missing, damaged, or of another version."""
    if not run.index.is_file() or not run.index.stat().st_size:
        raise RunUnreadable(f"run {run.id} kept no results; see: infraforge report --list")
    try:
        return Index.from_json(run.index.read_bytes())
    except (OSError, ValueError) as error:
        raise RunUnreadable(f"{run.index}: {error}; see: infraforge report --list") from error


def title(index: Index) -> str:
    """The title of Allure's page: InfraForge and the run."""
    return f"InfraForge · {controls.heading(index)}"


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Only one process at a time writes a report."""
    with CROSSWALK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep_latest(history: Path) -> None:
    """Trim Allure's history to the number of runs that are kept here."""
    if not history.exists():
        return
    lines = history.read_text().splitlines(keepends=True)
    files.replace(history, "".join(lines[-runs.KEPT :]))


def _is_history(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"{"
