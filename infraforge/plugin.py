"""The pytest plugin: options, the stack's life, fixtures, markers, a run's exit code."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Collection, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infraforge import brought, places, recording, sabotage, stack
from infraforge import evidence as evidences
from infraforge.cluster import state
from infraforge.errors import InfraForgeError, Unable, UsageError
from infraforge.faults.nemesis import Nemesis
from infraforge.images import progress
from infraforge.outcome import Outcome, Tally, of_failure
from infraforge.profile import Profile
from infraforge.stack import Platform
from infraforge.turns import turn
from infraforge.workloads.backend_client import ApiError, BackendClient, Project
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import People
from infraforge.workloads.traffic import Traffic

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
            run.record.about = lambda: (_name(config), run._all_required)


def _is_tally(path: Path) -> bool:
    """Whether a file holds outcomes by node id, and so may be written anew."""
    try:
        found = json.loads(path.read_text())
        return isinstance(found, dict) and all(Outcome(said) for said in found.values())
    except (ValueError, TypeError):
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits long begins first; what wants the stack alone comes last."""
    for item in items:
        for marker in item.iter_markers("control"):
            try:
                item.add_marker(evidences.control_label(*marker.args))
            except UsageError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from error
    items[:] = _in_turn(items)


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
    with turn(state.locks_dir(), _name(item.config), alone=alone):
        item.stash[_BEGAN] = datetime.now(UTC)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    with _skipping_what_cannot_be():
        return (yield)


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
        pytest.skip(f"{_UNABLE}{error}")


_UNABLE = "not on this cluster: "


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    made = yield
    if made.failed:
        error = call.excinfo.value if call.excinfo else None
        outcome = of_failure(error, call.when)
        made.infraforge = outcome.value  # type: ignore[attr-defined]
        platform = item.funcargs.get("platform") if hasattr(item, "funcargs") else None
        if isinstance(platform, Platform):
            evidences.attach_diagnosis(platform.cluster.api, item.stash[_BEGAN])
    return made


_BEGAN = pytest.StashKey[datetime]()


class _Run:
    """The run as the controlling process sees it: stands up, tallies, decides the exit code."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tally = Tally()
        self._made = False
        self._all_required: tuple[str, ...] = ()
        self._unable: set[str] = set()
        self.record: recording.Recording | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self._config.option.collectonly:
            return
        profile, asked = self._config.getoption("profile"), _asked(self._config)
        try:
            if not profile:
                self._all_required = self._of_what_is_up(asked)
                return
            # a profile is named for what its suites say of it, whatever was run instead
            self._all_required = Profile.load(profile, stack.TREE).owed(asked or {"suites"})
            if self._config.getoption("kubeconfig"):
                stack.attach(_name(self._config))
            else:
                self._stand_up(profile)
        except InfraForgeError as error:
            pytest.exit(f"infraforge: {error}", returncode=error.exit_code)

    def _of_what_is_up(self, asked: Collection[str]) -> tuple[str, ...]:
        """What is required where no profile is named: what the platform's own says."""
        name = _name(self._config)
        if not asked or not stack.is_up(name):
            return ()
        return stack.attach(name).profile.owed(asked)

    def _stand_up(self, profile: str) -> None:
        name = _name(self._config)
        up = stack.is_up(name)
        if broken := up and sabotage.left_behind(name):
            raise UsageError(f"sabotage {broken!r} was left behind on {name!r}: infraforge heal")
        if up and stack.attach(name).profile.name == profile:
            return
        capture = self._config.pluginmanager.getplugin("capturemanager")
        shown = capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
        self._made = not up
        keep = bool(self._config.getoption("keep_cluster"))
        with shown, progress.shown() as say:
            stack.stand_up(name, profile, progress=say, keep=keep)

    @property
    def _required(self) -> list[str]:
        """What must have run here: all that is required, but for what this cluster cannot."""
        return [name for name in self._all_required if name not in self._unable]

    @property
    def _of_platform(self) -> bool:
        """Whether this run is about the platform, and not about the project's own parts."""
        about = ("suites/", "chaos/")
        return bool(self._config.getoption("profile")) or any(
            node.startswith(about) for node in self._tally.outcomes
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tally.take(report.nodeid, Outcome(getattr(report, "infraforge", "unknown")))
        elif report.when == "call" and report.passed:
            self._tally.take(report.nodeid, Outcome.HOLDS)
        elif report.skipped:
            self._tally.take(report.nodeid, Outcome.SKIPPED)
            if _UNABLE in report.longreprtext:
                self._unable.add(report.nodeid.split("[")[0])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        path = self._config.getoption("tally")
        if path:
            path.write_text(json.dumps(self._tally.outcomes, indent=1, sort_keys=True))
        status = int(session.exitstatus)
        if self._of_platform and session.exitstatus in (0, 1, 5):
            session.exitstatus = self._tally.exit_code(self._required)
        if self.record:
            code, required = int(session.exitstatus), self._all_required
            self.record.end(status, code, self._tally, required, of_platform=self._of_platform)
        if self._made and not self._config.getoption("keep_cluster"):
            with contextlib.suppress(UsageError):  # somebody else is changing it already
                stack.tear_down(_name(self._config))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._of_platform:
            for line in self._tally.summary(self._required):
                terminalreporter.write_line(line)
            for name in sorted(self._unable):
                terminalreporter.write_line(f"{_UNABLE}{name}")


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
def nemesis(platform: Platform) -> Iterator[Nemesis]:
    """Injects faults; undoes what is left of them."""
    made = Nemesis(platform.site)
    yield made
    made.heal()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> evidences.Evidence:
    """Attaches what a verdict rests on to the report."""
    made = evidences.Evidence(request.node.nodeid)
    request.node.stash[recording.OF_TEST] = made.kept
    return made
