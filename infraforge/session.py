"""A part of the pytest plugin: one run, as the process that controls it sees it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from infraforge import (
    brought,
    files,
    healing,
    interrupts,
    progress,
    recording,
    stack,
    starvation,
)
from infraforge.cluster.users import Use
from infraforge.errors import ClusterError, InfraForgeError
from infraforge.outcome import Tally
from infraforge.profile import Profile
from infraforge.report.index import UNABLE
from infraforge.verdict import Outcome

CASES = pytest.StashKey[set[str]]()
WATCH = pytest.StashKey[starvation.Watch]()
"""How the machine is, from the first test that needs the stack on."""
OUTPUT = "infraforge_cases"
_UNKNOWN = 2
_HEEDING = pytest.StashKey[bool]()
_CLUSTER = pytest.StashKey[str]()


def heed(config: pytest.Config) -> None:
    """From now on the first signal of any kind ends the run, and all others are ignored."""
    if not config.stash.get(_HEEDING, False):
        config.stash[_HEEDING] = True
        heeding = contextlib.ExitStack()
        heeding.enter_context(interrupts.heeded())
        config.add_cleanup(heeding.close)


class Run:
    """The run as the controlling process sees it: stands up, tallies, decides the exit code."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tally = Tally()
        self._use: Use | None = None
        self.required: tuple[str, ...] = ()
        self._why_unable: dict[str, str] = {}
        self.record: recording.Recording | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        asked, named = asked_folders(self._config), self._config.getoption("profile")
        collecting = self._config.option.collectonly  # that touches nothing
        if collecting and not named:
            return
        try:
            if not collecting and (named or asked):
                self._begin()
            if not named:
                self.required = self._of_what_is_up(asked)
            else:
                # a profile is named for what its suites say of it, whatever was run instead
                profile = Profile.load(named, stack.TREE)
                self.required = profile.owed(asked or {"suites"})
                if collecting:
                    return
                if self._config.getoption("kubeconfig"):
                    stack.attach(name_of(self._config))
                else:
                    self._stand_up(profile)
            if self._use:
                self._heal_first()  # also what did not answer before it was stood up
                healing.refuse_half_changed(self._use.name)
        except InfraForgeError as error:
            if self._use:  # what cannot be used is left as it is, to be looked at
                self._use.leave()
                self._use = None
            pytest.exit(f"infraforge: {error}", returncode=error.exit_code)

    def _begin(self) -> None:
        """Have nobody remove the platform meanwhile, and nothing be open of runs before."""
        heed(self._config)
        self._use = Use(name_of(self._config), f"pytest {' '.join(self._config.args)}"[:80]).join()
        self._heal_first()

    def _heal_first(self) -> None:
        for undone in healing.before_run(name_of(self._config)):
            self._say(f"infraforge: undone, left by a run before: {undone}")

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter:
            reporter.ensure_newline()
            reporter.write_line(line)

    def _end(self) -> None:
        """Remove what is not to stay, if nobody else uses it; leave nothing broken if it stays."""
        use, self._use = self._use, None
        if use is None:
            return
        with interrupts.undisturbed():
            for item in stack.leave(use):
                self._say(f"infraforge: removed {item}")
            try:  # of this run's own processes that were ended before they could
                self._heal_first()
            except InfraForgeError as error:
                self._say(f"infraforge: {error}")

    def _of_what_is_up(self, asked: Collection[str]) -> tuple[str, ...]:
        """What is required where no profile is named: what the platform's own says."""
        name = name_of(self._config)
        if not asked or not stack.is_up(name):
            return ()
        return stack.attach(name).profile.owed(asked)

    def _stand_up(self, profile: Profile) -> None:
        name = name_of(self._config)
        keep = bool(self._config.getoption("keep_cluster"))
        with contextlib.suppress(ClusterError):  # silent: it is started again below
            if stack.is_up(name) and stack.attach(name).profile.name == profile.name:
                if keep:
                    stack.keep(name)
                return
        capture = self._config.pluginmanager.getplugin("capturemanager")
        shown = capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
        with shown, progress.shown() as say:
            stack.stand_up(name, profile, progress=say, keep=keep)

    @property
    def _of_platform(self) -> bool:
        """Whether this run is about the platform, and not about the project's own parts."""
        if self._config.getoption("profile"):
            return True
        return bool(asked_folders(self._config)) and not self._config.option.collectonly

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = getattr(report, "infraforge", None)
        if said or report.failed:  # a failed attempt counts, whatever it was renamed to
            self._tally.take(report.nodeid, Outcome(said or "unknown"))
        elif report.skipped:
            self._tally.take(report.nodeid, Outcome.SKIPPED)
            if isinstance(report, pytest.SubtestReport):
                self._tally.partly.add(report.nodeid)
            if why := getattr(report, "infraforge_unable", ""):
                self._tally.unable.add(report.nodeid)
                self._why_unable[report.nodeid] = why
        elif (
            report.when == "call" and report.passed and not isinstance(report, pytest.SubtestReport)
        ):
            self._tally.take(report.nodeid, Outcome.HOLDS)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tally.take(report.nodeid, Outcome.UNKNOWN)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Collection[str]) -> None:
        self._tally.cases.update(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._tally.cases.update(getattr(node, "workeroutput", {}).get(OUTPUT, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._config.option.collectonly:
            if self._of_platform:  # a profile was named, and nothing of what it requires ran
                session.exitstatus = self._exit_code(int(session.exitstatus))
            return
        path = self._config.getoption("tally")
        if path:
            files.replace(path, json.dumps(self._tally.outcomes, indent=1, sort_keys=True))
        status = int(session.exitstatus)
        code, required = self._exit_code(status), self.required
        if code != _UNKNOWN or status != pytest.ExitCode.INTERNAL_ERROR:
            session.exitstatus = code  # else `ending` says what happened
        if self.record:
            self.record.end(status, code, self._tally, required, of_platform=self._of_platform)
        self._end()

    def pytest_unconfigure(self) -> None:
        self._end()  # where another plugin's end kept this one from its own

    def _exit_code(self, of_pytest: int) -> int:
        """The run's, from pytest's: one that was cut short is never better than unknown."""
        seen: set[str] = self._config.stash.get(CASES, set())
        self._tally.cases |= seen
        if of_pytest == pytest.ExitCode.NO_TESTS_COLLECTED:
            return _UNKNOWN
        if not self._of_platform:
            return of_pytest
        return self._tally.concluded(of_pytest, self.required)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._of_platform:
            for line in self._tally.summary(self.required):
                terminalreporter.write_line(line)
            for name, why in sorted(self._why_unable.items()):
                terminalreporter.write_line(f"{UNABLE}{name}: {why}")


def asked_folders(config: pytest.Config) -> set[str]:
    """Which of `suites` and `chaos` this run was asked about, in whole or in part."""
    found, root = set(), config.rootpath.resolve()
    for arg in config.args:
        path = (config.invocation_params.dir / arg.split("::")[0]).resolve()
        found |= {
            folder
            for folder in ("suites", "chaos")
            if path.is_relative_to(root / folder) or (root / folder).is_relative_to(path)
        }
    return found


def name_of(config: pytest.Config) -> str:
    """What the platform under test is called here."""
    if config.getoption("kubeconfig"):
        if _CLUSTER not in config.stash:
            asked = (config.getoption(name) for name in ("kubeconfig", "context", "profile"))
            path, context, profile = asked
            config.stash[_CLUSTER] = brought.name_of(Path(path), context, profile)
        return config.stash[_CLUSTER]
    chosen = str(config.getoption("cluster_name"))
    return stack.DEFAULT_NAME if chosen == "pytest-kind" else chosen  # that plugin's own default


def profile_under_test(config: pytest.Config) -> Profile | None:
    """The profile that was named, else that of the platform that was stood up; None for neither.

    Tests can be collected for a platform that does not answer: nothing is asked of it.
    """
    named = config.getoption("profile") or stack.profile_of(name_of(config))
    return Profile.load(named, stack.TREE) if named else None
