"""The register load against stores in memory: a correct one holds, a stale one is caught."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from infraforge.checkers import no_stale_read
from infraforge.errors import Inconclusive, TimedOut
from infraforge.history import Kind
from infraforge.verdict import Outcome, check
from infraforge.wait import wait_until
from infraforge.workloads import register
from infraforge.workloads.backend_client import BackendClient, Project, Refused, Unknown

KEY = "one"


def project(version: int, description: str) -> Project:
    return Project(KEY, "name", description, version, "devon", "", "")


class Store:
    """A backend of one project. cached: a cache that is filled once and never emptied."""

    def __init__(self, cached: bool = False) -> None:
        self.cached = cached
        self.lock = threading.Lock()
        self.current: Project | None = project(1, "as created")
        self.first = self.current
        self.users: list[threading.Thread] = []
        self.trouble: Iterator[Exception | None] = itertools.repeat(None)

    def read_project(self, project_id: str) -> tuple[Project, str]:
        with self.lock:
            self._meet_trouble()
            if self.cached and self.first is not None:
                return self.first, "hit"
            if self.current is None:
                raise Refused(404, "no such project")
            return self.current, "miss"

    def update_project(self, project_id: str, name: str, description: str) -> Project:
        with self.lock:
            self._meet_trouble()
            if self.current is None:
                raise Refused(404, "no such project")
            self.current = project(self.current.version + 1, description)
            return self.current

    def delete_project(self, project_id: str) -> None:
        with self.lock:
            self.current = None

    def _meet_trouble(self) -> None:
        trouble = next(self.trouble)
        if trouble is not None:
            raise trouble


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return use(Store(), monkeypatch)


def use(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(register, "twin", lambda client: client)
    return store


def load(store: Store, **rest: Any) -> register.Load:
    return register.Load(store, [KEY], pace=0.001, **rest)  # type: ignore[arg-type]


def test_a_correct_store_holds(store: Store) -> None:
    with load(store, readers=3, writers=2) as run:
        run.until(reads=50, writes=20, within=10)
    verdict = check(run.history, no_stale_read)
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()
    assert run.ways["miss"] >= 50


def test_a_cache_that_is_never_emptied_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with load(use(Store(cached=True), monkeypatch), readers=2, writers=1) as run:
        run.until(writes=3, within=10)
        run.until(reads=10, hits=5, within=10)
    assert check(run.history, no_stale_read).outcome is Outcome.BROKEN


def test_a_deleted_project_reads_as_absent(store: Store) -> None:
    with load(store, readers=2, writers=0) as run:
        run.until(reads=5, within=10)
        deletion = register.delete(store, KEY)  # type: ignore[arg-type]
        run.until(reads=5, within=10)
    history = run.history + deletion
    assert history.of("read")[-1].value is None
    verdict = check(history, no_stale_read)
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()


def test_every_write_has_content_of_its_own(store: Store) -> None:
    with load(store, readers=0, writers=4) as run:
        run.until(writes=100, within=10)
    contents = [call.invoke.value for call in run.history.of("write")]
    assert len(set(contents)) == len(contents) >= 100


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Refused(429, "too many requests"), Kind.FAIL),
        (Unknown(503, "nobody can tell"), Kind.INFO),
        (Unknown(0, "no answer"), Kind.INFO),
    ],
    ids=["refused", "unknown", "no answer"],
)
def test_errors_become_what_they_mean(store: Store, trouble: Exception, kind: Kind) -> None:
    store.trouble = itertools.cycle([None, trouble])
    with load(store, readers=1, writers=1) as run:
        run.until(reads=5, writes=5, within=10)
    outcomes = {call.outcome for call in run.history.calls if call.completion}
    assert outcomes == {Kind.OK, kind}


def test_a_failure_of_the_load_itself_is_inconclusive(store: Store) -> None:
    store.trouble = iter([None, None, ZeroDivisionError("a bug in the load")])
    with pytest.raises(Inconclusive, match="a bug"), load(store, readers=1, writers=0) as run:
        run.until(reads=50, within=10)


def test_a_failure_of_the_load_is_reported_at_the_blocks_end(store: Store) -> None:
    store.trouble = iter([ZeroDivisionError("a bug in the load")])
    run = load(store, readers=1, writers=0)
    with pytest.raises(Inconclusive, match="a bug"), run:
        wait_until(lambda: len(run.history) == 2, within=10)


def test_waiting_for_too_much_ends_and_tells_the_seed(store: Store) -> None:
    with load(store, readers=1, writers=0, seed=77) as run, pytest.raises(TimedOut, match="77"):
        run.until(writes=1, within=0.1)


def test_a_twin_has_the_session_and_another_connection() -> None:
    session = requests.Session()
    session.verify = "/the/ca"
    session.cookies.set("__Host-infraforge_session", "abc")
    other = register.twin(BackendClient(session, "https://127.0.0.1:8443", timeout=7))
    assert other.session is not session
    assert other.session.cookies.get("__Host-infraforge_session") == "abc"
    assert (other.session.verify, other.timeout) == ("/the/ca", 7)
