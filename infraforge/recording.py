"""What the controlling pytest process keeps of a run: results in a folder of the run, its index.

A run that was asked about suites or experiments keeps its results by itself. Workers of xdist write
theirs into the same folder, since they are given the options of the process that controls them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from infraforge import environment, evidence, files, folders, runs, stack
from infraforge.errors import InfraForgeError, UsageError
from infraforge.listing import Listing
from infraforge.noting import CONTROLS, KEPT, LISTING, PLACE, STARVED, phase_of
from infraforge.outcome import Tally
from infraforge.report import harness
from infraforge.report.index import Entry, Index, Phase, Profiled
from infraforge.runs import Run
from infraforge.verdict import Outcome


def add_options(group: Any) -> None:
    """Add the options to pytest's group of ours."""
    group.addoption(
        "--unrecorded", action="store_true", help="keep no results of this run in reports/runs"
    )
    group.addoption(LISTING, type=Path, dest="list_controls", help=argparse.SUPPRESS)


def begin(config: pytest.Config, asked: Collection[str]) -> Recording | None:
    """Choose where this run's results go; None for a run of which nothing is kept.

    asked: which of `suites` and `chaos` it was asked about. Raises UsageError where the environment
    names a run that has results already, and where nothing can be written.
    """
    option = config.option
    if not asked or option.collectonly or option.unrecorded:
        return None
    if not hasattr(option, "allure_report_dir"):  # Allure's plugin is off: there are no results
        return None
    run = runs.started(folders.output_of(config.rootpath))
    try:
        run.claim()
    except OSError as error:
        raise UsageError(
            f"{run.folder} cannot be written ({error.strerror}); to keep nothing: --unrecorded"
        ) from error
    # a pytest that a test of this run starts is another run
    os.environ.pop(runs.VARIABLE, None)
    chosen = option.allure_report_dir
    if not chosen:
        option.allure_report_dir = str(run.results)
    made = Recording(config, run, asked, str(Path(chosen).resolve()) if chosen else "")
    config.pluginmanager.register(made, "infraforge-recording")
    return made


class Recording:
    """The record of one run. run: where it is kept; results: where the user wants Allure's."""

    def __init__(
        self, config: pytest.Config, run: Run, asked: Collection[str], results: str
    ) -> None:
        self.run = run
        self._config = config
        self._asked = sorted(asked)
        self._phases: dict[str, dict[str, Phase]] = {}
        self._said: dict[str, dict[str, Any]] = {}
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(run.in_use())
        self._listing: Listing | None = None
        self._machine: Future[Mapping[str, str]] | None = None
        self._index = Index(run.id, _now(), results=results)
        self.about: Callable[[], tuple[str, tuple[str, ...]]] = lambda: (stack.DEFAULT_NAME, ())
        """The platform's name, and the tests that the run owes; asked once the session starts."""

    @pytest.hookimpl(optionalhook=True)  # xdist's
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[PLACE] = str(self._results)

    @pytest.hookimpl(trylast=True)  # the platform is up by then
    def pytest_sessionstart(self) -> None:
        """Write down what is known before the first test."""
        name, required = self.about()
        root = self._config.rootpath
        for gone in runs.prune(self.run.folder.parent.parent):
            print(f"infraforge: run {gone} is older than the {runs.KEPT} that are kept: removed")
        self._listing = self._stack.enter_context(Listing(root, self._asked))
        pool = self._stack.enter_context(ThreadPoolExecutor(1))
        self._machine = pool.submit(lambda: environment.look().facts())
        commit, dirty = source(root)
        platform, images, profile = _platform(name, required)
        self._index = dataclasses.replace(
            self._index,
            arguments=tuple(map(str, self._config.invocation_params.args)),
            commit=commit,
            dirty=dirty,
            harness={"version": harness.version(), "code": harness.code()},
            profile=profile,
            platform=platform,
            images=images,
        )
        self._write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        phases, when = self._phases.setdefault(report.nodeid, {}), str(report.when)
        phases[when] = phase_of(report).or_worse(phases.get(when))
        told = {name: getattr(report, name, None) for name in (KEPT, CONTROLS, STARVED)}
        known = {name: value for name, value in told.items() if value is not None}
        self._said.setdefault(report.nodeid, {}).update(known)

    def end(
        self,
        status: int,
        exit_code: int,
        tally: Tally,
        required: tuple[str, ...],
        *,
        of_platform: bool,
    ) -> None:
        """Write the whole index.

        status: pytest's own exit code; exit_code: the run's; required: all that the run owes.
        """
        expected, lacks = self._listing.result() if self._listing else (None, "it was not looked")
        profile = self._index.profile
        index = dataclasses.replace(
            self._index,
            ended=_now(),
            machine=self._facts(),
            expected=expected,
            expected_lacks=lacks,
            profile=dataclasses.replace(profile, required=required) if profile else None,
            tests={node: self._entry(node, said) for node, said in tally.outcomes.items()},
            cases=tuple(sorted(tally.cases)),
            unable=tuple(sorted(tally.unable)),
            partly=tuple(sorted(tally.partly)),
            of_platform=of_platform,
            pytest_status=status,
        )
        concluded = dataclasses.replace(index.conclusions(), exit_code=exit_code)
        self._index = dataclasses.replace(index, concluded=concluded)
        self._write()
        evidence.describe_run(self._results, _described(self._index))
        self._stack.close()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(f"run {self.run.id}: {self._results}; next: infraforge report")

    def pytest_unconfigure(self) -> None:
        """Of a run that never began, nothing stays."""
        self._stack.close()
        if not self.run.index.stat().st_size:
            shutil.rmtree(self.run.folder)

    @property
    def _results(self) -> Path:
        return Path(self._index.results or self.run.results)

    def _entry(self, node: str, outcome: Outcome) -> Entry:
        said, phases = self._said.get(node, {}), self._phases.get(node)
        if not phases:  # nothing was heard of it but that: what could not be collected, say
            phases = {"collect": Phase("failed", outcome.value, "nothing of it ran")}
        return Entry(
            outcome,
            tuple(said.get(CONTROLS, ())),
            phases,
            tuple(said.get(KEPT, ())),
            said.get(STARVED),
        )

    def _facts(self) -> Mapping[str, str]:
        return self._machine.result() if self._machine else {}

    def _write(self) -> None:
        files.replace(self.run.index, self._index.to_json())


def source(root: Path) -> tuple[str, bool | None]:
    """The commit of the checkout, and whether it has changes; ("", None) where git knows none.

    An installed wheel has none, whatever repository its environment may lie in.
    """
    if folders.installed():
        return "", None
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(root), *argv], capture_output=True, text=True, check=True
            ).stdout.strip()
            for argv in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "", None
    return commit, bool(changes)


def _platform(
    name: str, required: tuple[str, ...]
) -> tuple[Mapping[str, str], Mapping[str, str], Profiled | None]:
    """What runs: versions, image → digest, profile; that nothing could be asked, where it is so."""
    try:
        if not stack.is_up(name):
            return {}, {}, None
        platform = stack.attach(name)
        profile = Profiled(platform.profile.name, tuple(platform.profile.components), required)
        with contextlib.closing(platform.site):
            try:
                versions = platform.versions()
            except (ApiException, HTTPError, OSError) as error:
                versions = {"kubernetes": f"did not answer: {type(error).__name__}"}
    except InfraForgeError as error:
        return {"platform": str(error)}, {}, None
    told = {name: value for name, value in versions.items() if not name.startswith("image ")}
    return told, dict(platform.digests), profile


def _described(index: Index) -> dict[str, object]:
    """What Allure's page says of the run."""
    images = {f"image {reference}": digest for reference, digest in index.images.items()}
    run = {
        "run": index.run,
        "commit": index.commit + (" with changes" if index.dirty else ""),
        "profile": index.profile.name if index.profile else "none",
        "began": index.started,
        "ended": index.ended,
        "exit code": index.concluded.exit_code,
        "harness": index.harness.get("version", ""),
    }
    return {**run, **index.platform, **images, **index.machine}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
