"""Runs: each keeps its results in its own folder, so that no run disturbs another.

    reports/runs/20261127T201500Z-1a2b3c/
        allure-results/    results and attachments, from pytest's workers
        index.json         what ran and each result (report/index.py), from the controlling process
        timings.json       seconds by stage

The process that starts a run makes its id and passes it on in the environment variable
INFRAFORGE_RUN. A process that uses a run's folder shares its lock: a folder in use is never
removed. The latest KEPT runs stay; a new run removes older ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infraforge import locks
from infraforge.errors import UsageError

VARIABLE = "INFRAFORGE_RUN"
KEPT = 20
"""The number of runs kept on disk."""

INDEX = "index.json"
RESULTS = "allure-results"
TIMINGS = "timings.json"
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_LOCK = ".lock"


@dataclass(frozen=True)
class Run:
    """One run's folder. folder: `REPORTS/runs/ID`."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    @property
    def index(self) -> Path:
        return self.folder / INDEX

    @property
    def timings(self) -> Path:
        return self.folder / TIMINGS

    def claim(self) -> None:
        """Create this run's index, still empty. Raises UsageError where another process did."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.index.touch(exist_ok=False)
        except FileExistsError:
            raise self._claimed() from None

    def refuse_claimed(self) -> None:
        """Raise UsageError where this run has an index already."""
        if self.index.exists():
            raise self._claimed()

    def _claimed(self) -> UsageError:
        return UsageError(
            f"run {self.id} has results already, and two runs never share a folder; "
            f"run: unset {VARIABLE}"
        )

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the folder from being removed while the block runs."""
        with locks.held(self.folder / _LOCK, shared=True):
            yield

    @property
    def busy(self) -> bool:
        """Whether a process uses the folder now."""
        path = self.folder / _LOCK
        if not path.exists():
            return False
        try:
            locks.take(path, wait=False).close()
        except locks.Busy:
            return True
        return False


def new_id(now: datetime | None = None) -> str:
    """A unique id; ids sort by the second in which their runs began."""
    return f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def started(reports: Path, environ: Mapping[str, str] = os.environ) -> Run:
    """The run that the environment names, else a new one. Raises UsageError for an invalid id."""
    name = environ.get(VARIABLE, "")
    if name and not _ID.fullmatch(name):
        raise UsageError(f"{VARIABLE}={name!r} is not a run's id; run: unset {VARIABLE}")
    return Run(reports / "runs" / (name or new_id()))


def recorded(reports: Path) -> list[Run]:
    """The runs that have an index, oldest first."""
    return [run for run in _folders(reports) if run.index.is_file() and run.index.stat().st_size]


def named(reports: Path, name: str) -> Run:
    """The run with this id. Raises UsageError where there is none."""
    for run in recorded(reports):
        if run.id == name:
            return run
    raise UsageError(f"there is no run {name!r}; see: infraforge report --list")


def latest(reports: Path) -> Run:
    """The run that began last. Raises UsageError where there is none."""
    recorded_runs = recorded(reports)
    if not recorded_runs:
        raise UsageError(f"there is no run in {reports / 'runs'}; first run: pytest suites")
    return recorded_runs[-1]


def prune(reports: Path, kept: int = KEPT) -> list[str]:
    """Remove all but the latest `kept` runs, and folders that never became a run; their ids.

    A run in use stays, and so does everything not named like a run.
    """
    staying = {run.id for run in recorded(reports)[-kept:]}
    gone = []
    for run in _folders(reports):
        if run.id in staying:
            continue
        with (
            contextlib.suppress(OSError, locks.Busy),
            locks.take(run.folder / _LOCK, wait=False),
        ):
            shutil.rmtree(run.folder)
            gone.append(run.id)
    return gone


def _folders(reports: Path) -> list[Run]:
    place = reports / "runs"
    if not place.is_dir():
        return []
    return [
        Run(path)
        for path in sorted(place.iterdir())
        if _ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
