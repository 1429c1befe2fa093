"""The pytest plugin: options, the stack's life, fixtures, markers, a run's exit code."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import warnings
from collections.abc import Collection, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from infraforge import (
    brought,
    files,
    healing,
    interrupts,
    places,
    progress,
    raised,
    recording,
    stack,
    starvation,
)
from infraforge import evidence as evidences
from infraforge.cluster import state
from infraforge.cluster.users import Use
from infraforge.errors import ClusterError, InfraForgeError, Late, TimedOut, Unable, UsageError
from infraforge.faults.nemesis import Nemesis
from infraforge.outcome import Outcome, Tally, of_failure
from infraforge.profile import Profile
from infraforge.report.index import UNABLE
from infraforge.stack import Platform
from infraforge.turns import turn
from infraforge.workloads.backend_client import ApiError, BackendClient, Project
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import People
from infraforge.workloads.traffic import Traffic

pytest_plugins = ("infraforge.ending",)
_SELFTESTS = Path(__file__).parent / "selftests"
_MARKERS = (
    "exclusive: breaks, exhausts or counts something shared; holds the stack alone",
    "waits: waits for a stated time to pass, costs nothing meanwhile; begins before the others",
    "control(*ids): controls of reports/controls.toml that this test is evidence for",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("infraforge", "InfraForge (with --cluster-name, --keep-cluster)")
    group.addoption("--profile", help="stand this profile up, or use it where it is up")
    group.addoption("--context", help="with --kubeconfig: which of its contexts")
    group.addoption("--tally", type=Path, help="write each test's outcome to this file (JSON)")
    recording.add_options(group)


@pytest.hookimpl(tryfirst=True)  # before Allure's own looks where results are to go
def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if not hasattr(config.option, "kubeconfig"):
        raise pytest.UsageError("pytest-kind's options are needed: leave out -p no:pytest-kind")
    config.stash[_CASES] = set()
    config.pluginmanager.register(recording.Noting(config), "infraforge-noting")
    if not hasattr(config, "workerinput"):
        run = _Run(config)
        config.pluginmanager.register(run, "infraforge-run")
        try:
            if tally := config.getoption("tally"):
                places.refuse_foreign_file(tally, "a tally", _is_tally)
            run.record = recording.begin(config, _asked(config))
        except UsageError as error:
            pytest.exit(f"infraforge: {error}", returncode=error.exit_code)
        if run.record:
            run.record.about = lambda: (_name(config), run._required)


def _is_tally(path: Path) -> bool:
    """Whether a file holds outcomes by node id, and so may be written anew."""
    try:
        found = json.loads(path.read_text())
        return isinstance(found, dict) and all(Outcome(said) for said in found.values())
    except (ValueError, TypeError):
        return False


def pytest_unconfigure(config: pytest.Config) -> None:
    if watch := config.stash.get(_WATCH, None):
        watch.stop()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note every case there is, before anything (-k, --lf, a node id) chooses some of them."""
    report = yield
    items = (item for item in report.result or () if isinstance(item, pytest.Item))
    collector.config.stash[_CASES].update(item.nodeid for item in items)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_OUTPUT] = sorted(session.config.stash.get(_CASES, ()))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """What waits long begins first; what wants the stack alone comes last.

    Labels for Allure are added when -k has chosen: it finds its words in names of markers, too.
    """
    labels = [(item, label) for item in items for label in _control_labels(item)]
    items[:] = _in_turn(items)
    yield
    for item, label in labels:
        item.add_marker(label)


def _control_labels(item: pytest.Item) -> list[Any]:
    try:
        return [evidences.control_label(*mark.args) for mark in item.iter_markers("control")]
    except UsageError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from error


def _in_turn(items: list[pytest.Item]) -> list[pytest.Item]:
    """Long waits side by side from the start, and nothing that is alone before the others end.

    xdist hands tests out in pairs: each that waits is given one that does not beside it, or two
    of them would wait one after the other.
    """
    waiting: list[pytest.Item] = []
    others: list[pytest.Item] = []
    alone: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("exclusive"):
            alone.append(item)
        else:
            (waiting if item.get_closest_marker("waits") else others).append(item)
    pairs = itertools.zip_longest(waiting, others[: len(waiting)])
    return [
        *(item for pair in pairs for item in pair if item),
        *others[len(waiting) :],
        *alone,
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    if _needs_no_stack(item):
        return (yield)
    alone = item.get_closest_marker("exclusive") is not None
    if _WATCH not in item.config.stash:
        item.config.stash[_WATCH] = starvation.Watch()
    _heed(item.config)
    with turn(state.locks_dir(), _name(item.config), alone=alone):
        item.stash[_BEGAN] = datetime.now(UTC)
        try:
            return (yield)
        except KeyboardInterrupt:
            # what the test broke is undone while nobody else can have a turn
            with interrupts.undisturbed():
                item.session._setupstate.teardown_exact(None)
            raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    if not _needs_no_stack(item):
        for undone in healing.before_test(_name(item.config)):
            warnings.warn(LeftOpen(f"undone, left by a test before: {undone}"), stacklevel=1)
    with _skipping_what_cannot_be():
        yield
    platform, watch = _platform_of(item), item.config.stash.get(_WATCH, None)
    if platform and watch and not watch.ask:
        core = client.CoreV1Api(platform.cluster.api)
        watch.ask = lambda: core.read_namespace("default", _request_timeout=_ASKED_FOR)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    with _skipping_what_cannot_be():
        return (yield)


@contextlib.contextmanager
def _skipping_what_cannot_be() -> Iterator[None]:
    """A test that needs an ability this kind of cluster lacks is skipped, and says which."""
    try:
        yield
    except Unable as error:
        pytest.skip(f"{UNABLE}{error}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    made = yield
    if made.skipped and call.excinfo and isinstance(call.excinfo.value.__context__, Unable):
        made.infraforge_unable = str(call.excinfo.value.__context__)  # type: ignore[attr-defined]
    expected = made.skipped and hasattr(made, "wasxfail")  # a failure all the same
    if made.failed or expected:
        error = call.excinfo.value if call.excinfo else None
        outcome = of_failure(error, call.when, own=not error or raised.by_a_test(error))
        if figures := _figures(item, error):
            made.sections.append(("the machine while that was waited for", str(figures)))
            evidences.Attachment("the machine meanwhile", str(figures)).attach()
            if isinstance(error, Late) and figures.starved:
                outcome = Outcome.UNKNOWN
                why = f"unknown, not broken: the machine was starved ({'; '.join(figures.starved)})"
                made.sections.append(("verdict", why))
        made.infraforge = outcome.value  # type: ignore[attr-defined]
        if made.failed and (platform := _platform_of(item)):
            evidences.attach_diagnosis(platform.cluster.api, item.stash[_BEGAN])
    return made


def _figures(item: pytest.Item, error: BaseException | None) -> starvation.Figures | None:
    """Of the machine, where something was not so in time; None where that is not the question."""
    watch = item.config.stash.get(_WATCH, None)
    if not isinstance(error, Late | TimedOut) or not error.waited or not watch:
        return None
    return watch.figures(*error.waited)


def _platform_of(item: pytest.Item) -> Platform | None:
    found = getattr(item, "funcargs", {}).get("platform")
    return found if isinstance(found, Platform) else None


_BEGAN = pytest.StashKey[datetime]()
_CASES = pytest.StashKey[set[str]]()
_WATCH = pytest.StashKey[starvation.Watch]()
_OUTPUT = "infraforge_cases"
_ASKED_FOR = 5
_UNKNOWN = 2


class LeftOpen(UserWarning):
    """A fault that was not undone by whoever made it."""


_HEEDING = pytest.StashKey[bool]()


def _heed(config: pytest.Config) -> None:
    """From now on the first signal of any kind ends the run, and all others are ignored."""
    if not config.stash.get(_HEEDING, False):
        config.stash[_HEEDING] = True
        heeding = contextlib.ExitStack()
        heeding.enter_context(interrupts.heeded())
        config.add_cleanup(heeding.close)


class _Run:
    """The run as the controlling process sees it: stands up, tallies, decides the exit code."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tally = Tally()
        self._use: Use | None = None
        self._required: tuple[str, ...] = ()
        self._why_unable: dict[str, str] = {}
        self.record: recording.Recording | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        profile, asked = self._config.getoption("profile"), _asked(self._config)
        collecting = self._config.option.collectonly  # that touches nothing
        if collecting and not profile:
            return
        try:
            if not collecting and (profile or asked):
                self._begin()
            if not profile:
                self._required = self._of_what_is_up(asked)
            else:
                # a profile is named for what its suites say of it, whatever was run instead
                self._required = Profile.load(profile, stack.TREE).owed(asked or {"suites"})
                if collecting:
                    return
                if self._config.getoption("kubeconfig"):
                    stack.attach(_name(self._config))
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
        _heed(self._config)
        self._use = Use(_name(self._config), f"pytest {' '.join(self._config.args)}"[:80]).join()
        self._heal_first()

    def _heal_first(self) -> None:
        for undone in healing.before_run(_name(self._config)):
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
        name = _name(self._config)
        if not asked or not stack.is_up(name):
            return ()
        return stack.attach(name).profile.owed(asked)

    def _stand_up(self, profile: str) -> None:
        name = _name(self._config)
        keep = bool(self._config.getoption("keep_cluster"))
        with contextlib.suppress(ClusterError):  # silent: it is started again below
            if stack.is_up(name) and stack.attach(name).profile.name == profile:
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
        return bool(_asked(self._config)) and not self._config.option.collectonly

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
        self._tally.cases.update(getattr(node, "workeroutput", {}).get(_OUTPUT, ()))

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
        code, required = self._exit_code(status), self._required
        if code != _UNKNOWN or status != pytest.ExitCode.INTERNAL_ERROR:
            session.exitstatus = code  # else `ending` says what happened
        if self.record:
            self.record.end(status, code, self._tally, required, of_platform=self._of_platform)
        self._end()

    def pytest_unconfigure(self) -> None:
        self._end()  # where another plugin's end kept this one from its own

    def _exit_code(self, of_pytest: int) -> int:
        """The run's, from pytest's: one that was cut short is never better than unknown."""
        seen: set[str] = self._config.stash.get(_CASES, set())
        self._tally.cases |= seen
        if of_pytest == pytest.ExitCode.NO_TESTS_COLLECTED:
            return _UNKNOWN
        if not self._of_platform:
            return of_pytest
        return self._tally.concluded(of_pytest, self._required)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._of_platform:
            for line in self._tally.summary(self._required):
                terminalreporter.write_line(line)
            for name, why in sorted(self._why_unable.items()):
                terminalreporter.write_line(f"{UNABLE}{name}: {why}")


def _asked(config: pytest.Config) -> set[str]:
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


_CLUSTER = pytest.StashKey[str]()


def _name(config: pytest.Config) -> str:
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
    named = config.getoption("profile") or stack.profile_of(_name(config))
    return Profile.load(named, stack.TREE) if named else None


def _needs_no_stack(item: pytest.Item) -> bool:
    return item.path.is_relative_to(_SELFTESTS)


@pytest.fixture(scope="session")
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """The running platform; stood up before the first test by the controlling process."""
    config = request.config
    found = stack.attach(_name(config))
    with contextlib.closing(found.site):
        yield found


@pytest.fixture(scope="session")
def front_door(platform: Platform) -> FrontDoor:
    """The one way in, as a user has it."""
    return FrontDoor(platform.origin, platform.ca_file, platform.profile.ports.http)


@pytest.fixture
def people(platform: Platform) -> Iterator[People]:
    """Makes persons of a test's own, and removes them."""
    made = People(platform.site)
    yield made
    made.remove_all()


def _signed_in(platform: Platform, front_door: FrontDoor, name: str) -> BackendClient:
    person = People(platform.site).known(name)
    return BackendClient(front_door.sign_in(person.name, person.password), platform.origin)


@pytest.fixture(scope="session")
def admin(platform: Platform, front_door: FrontDoor) -> BackendClient:
    """ada, signed in."""
    return _signed_in(platform, front_door, "ada")


@pytest.fixture(scope="session")
def developer(platform: Platform, front_door: FrontDoor) -> BackendClient:
    """devon, signed in."""
    return _signed_in(platform, front_door, "devon")


@pytest.fixture(scope="session")
def viewer(platform: Platform, front_door: FrontDoor) -> BackendClient:
    """vera, signed in."""
    return _signed_in(platform, front_door, "vera")


@pytest.fixture
def project(developer: BackendClient, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project of the test's own."""
    # words alone: with its parameters a test's name may look like code, which the firewall stops
    words = " ".join(re.findall(r"[a-z0-9]+", request.node.name.lower()))
    made = developer.create_project(f"{words[:150]} {os.getpid()}")
    yield made
    with contextlib.suppress(ApiError):  # it goes with the platform
        developer.delete_project(made.id)


@pytest.fixture
def traffic(
    platform: Platform, front_door: FrontDoor, developer: BackendClient, project: Project
) -> Traffic:
    """Somebody who goes on reading, writing, keeping files, signing in and out, in a `with`."""
    return Traffic(front_door, People(platform.site).known("devon"), developer, project)


@pytest.fixture
def nemesis(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Nemesis]:
    """Injects faults; undoes what is left of them."""
    if request.node.get_closest_marker("exclusive") is None:
        # others would be judged on what it breaks, and take its fault for one that was left open
        raise UsageError(f"{request.node.nodeid} breaks the platform: mark it exclusive")
    made = Nemesis(platform.site)
    yield made
    with interrupts.undisturbed():
        made.heal()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> evidences.Evidence:
    """Attaches what a verdict rests on to the report."""
    made = evidences.Evidence(request.node.nodeid)
    request.node.stash[recording.OF_TEST] = made.kept
    return made
