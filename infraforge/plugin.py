"""The pytest plugin: options, markers, the order of tests, and what surrounds each test.

Its other parts: `session` (the run as a whole), `fixtures`, `ending` (exit codes).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import warnings
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from infraforge import evidence as evidences
from infraforge import (
    healing,
    interrupts,
    noting,
    places,
    raised,
    recording,
    starvation,
)
from infraforge.cluster import state
from infraforge.errors import Late, TimedOut, Unable, UsageError
from infraforge.outcome import of_failure
from infraforge.report.index import UNABLE
from infraforge.session import CASES, OUTPUT, WATCH, Run, asked_folders, heed, name_of
from infraforge.stack import Platform
from infraforge.turns import turn
from infraforge.verdict import Outcome

pytest_plugins = ("infraforge.ending", "infraforge.fixtures")
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
    config.stash[CASES] = set()
    config.pluginmanager.register(noting.Noting(config), "infraforge-noting")
    if not hasattr(config, "workerinput"):
        run = Run(config)
        config.pluginmanager.register(run, "infraforge-run")
        try:
            if tally := config.getoption("tally"):
                places.refuse_foreign_file(tally, "a tally", _is_tally)
            run.record = recording.begin(config, asked_folders(config))
        except UsageError as error:
            pytest.exit(f"infraforge: {error}", returncode=error.exit_code)
        if run.record:
            run.record.about = lambda: (name_of(config), run.required)


def _is_tally(path: Path) -> bool:
    """Whether a file holds outcomes by node id, and so may be written anew."""
    try:
        found = json.loads(path.read_text())
        return isinstance(found, dict) and all(Outcome(said) for said in found.values())
    except (ValueError, TypeError):
        return False


def pytest_unconfigure(config: pytest.Config) -> None:
    if watch := config.stash.get(WATCH, None):
        watch.stop()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note every case there is, before anything (-k, --lf, a node id) chooses some of them."""
    report = yield
    items = (item for item in report.result or () if isinstance(item, pytest.Item))
    collector.config.stash[CASES].update(item.nodeid for item in items)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[OUTPUT] = sorted(session.config.stash.get(CASES, ()))


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
    if WATCH not in item.config.stash:
        item.config.stash[WATCH] = starvation.Watch()
    heed(item.config)
    with turn(state.locks_dir(), name_of(item.config), alone=alone):
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
        for undone in healing.before_test(name_of(item.config)):
            warnings.warn(LeftOpen(f"undone, left by a test before: {undone}"), stacklevel=1)
    with _skipping_what_cannot_be():
        yield
    platform, watch = _platform_of(item), item.config.stash.get(WATCH, None)
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
    watch = item.config.stash.get(WATCH, None)
    if not isinstance(error, Late | TimedOut) or not error.waited or not watch:
        return None
    return watch.figures(*error.waited)


def _platform_of(item: pytest.Item) -> Platform | None:
    found = getattr(item, "funcargs", {}).get("platform")
    return found if isinstance(found, Platform) else None


_BEGAN = pytest.StashKey[datetime]()
_ASKED_FOR = 5


class LeftOpen(UserWarning):
    """A fault that was not undone by whoever made it."""


def _needs_no_stack(item: pytest.Item) -> bool:
    return item.path.is_relative_to(_SELFTESTS)
