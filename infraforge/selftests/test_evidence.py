"""Evidence: what is written, and that it holds no secret and loses nothing."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import evidence
from infraforge.checkers import cells_match, no_stale_read
from infraforge.errors import UsageError
from infraforge.history import History, Kind, Operation
from infraforge.probes import diagnosis
from infraforge.selftests.histories import history
from infraforge.table import Table
from infraforge.verdict import check

SINCE = datetime(2026, 11, 25, 7, 0, 0, 500_000, tzinfo=UTC)
STALE = history("""
    a invoke write x "two"
    a ok     write x [2,"two"]
    b invoke read  x
    b ok     read  x [1,"one"]
""")


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch) -> list[evidence.Attachment]:
    attachments: list[evidence.Attachment] = []

    def take(one: evidence.Attachment) -> None:
        attachments.append(one)

    monkeypatch.setattr(evidence.Attachment, "attach", take)
    return attachments


def test_a_history_is_kept_readable_and_machine_readable(
    attached: list[evidence.Attachment],
) -> None:
    verdict = check(STALE, no_stale_read)
    evidence.Evidence("test").attach(STALE, verdict)
    kept, shown, told, checked = attached
    assert History.from_lines(str(kept.body)) == STALE
    assert str(shown.body).count(">") == 4
    assert str(told.body) == verdict.explain()
    assert json.loads(checked.body)["history"] == STALE.digest
    assert json.loads(checked.body)["checker"] == {"name": "no_stale_read", "parameters": {}}
    assert (kept.ending, checked.ending) == (evidence.HISTORY, evidence.VERDICT)


def test_attachments_are_recorded_for_the_index(attached: list[evidence.Attachment]) -> None:
    made = evidence.Evidence("test")
    verdict = check(STALE, no_stale_read)
    made.attach(STALE, verdict, "words")
    digest = hashlib.sha256(str(attached[-2].body).encode()).hexdigest()
    assert made.kept == [
        {"history": STALE.digest},
        {"verdict": digest, "name": "no_stale_read", "outcome": "broken"},
    ]


def test_a_comparison_is_kept_as_the_tables_it_compares(
    attached: list[evidence.Attachment],
) -> None:
    observed, declared = Table({("a", "b"): True}), Table({("a", "b"): None})
    evidence.Evidence("test").attach(cells_match(observed, declared, "mine"))
    kept = json.loads(attached[-1].body)
    assert (kept["observed"], kept["declared"]) == ([["a", "b", True]], [["a", "b", None]])
    assert kept["checker"] == {"name": "cells_match", "parameters": {"name": "mine"}}


def test_a_table_with_an_invalid_cell_is_reported_as_not_kept(
    attached: list[evidence.Attachment],
) -> None:
    odd: Any = Table({("a", "b"): {"a": "mapping"}})
    evidence.Evidence("test").attach(cells_match(odd, odd))
    assert "which a cell cannot hold" in json.loads(attached[-1].body)["lacks"]


def test_a_long_history_is_cut_to_what_the_verdict_rests_on() -> None:
    lines = [Operation("a", Kind.INVOKE, "add", None, n, n) for n in range(1000)]
    long = History(tuple(lines))
    assert evidence.readable(long, []) == []
    (around,) = evidence.readable(long, [lines[500]])
    assert len(str(around.body).splitlines()) == 19


def test_other_values_become_what_allure_can_show(attached: list[evidence.Attachment]) -> None:
    table = Table({("a", "b"): True})
    png = b"\x89PNG\r\n"
    evidence.Evidence("test").attach(
        "words", png, b"bytes", {"n": 1}, role_table=table, other=Path("x")
    )
    assert [(one.name, one.ending) for one in attached] == [
        ("text", "txt"),
        ("screenshot", "png"),
        ("bytes", "bin"),
        ("values", "json"),
        ("role table", "txt"),
        ("other", "txt"),
    ]


def test_the_run_is_described_beside_its_results(tmp_path: Path) -> None:
    evidence.describe_run(tmp_path, {"image a/b:1": "sha256:c", "host": "two\ncores"})
    assert (tmp_path / "environment.properties").read_text() == (
        "image\\ a/b\\:1 = sha256\\:c\nhost = two\\ncores\n"
    )
    assert json.loads((tmp_path / "categories.json").read_text())


def test_timings_of_concurrent_processes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "timings.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: evidence.note_timings({f"s{n}": n}, path), range(40)))
    with pytest.raises(ZeroDivisionError), evidence.stage("failing", path):
        raise ZeroDivisionError
    timings = json.loads(path.read_text())
    assert set(timings) == {*(f"s{n}" for n in range(40)), "failing"}
    assert [path.name for path in tmp_path.iterdir()] == ["timings.json"]


def test_a_test_can_only_be_evidence_for_controls_of_the_crosswalk() -> None:
    mark = evidence.control_label("SOC2-CC6.1", "NIST-AC-3").mark
    assert (mark.args, mark.kwargs) == (("SOC2-CC6.1", "NIST-AC-3"), {"label_type": "control"})
    with pytest.raises(UsageError, match="no control 'SOC2-CC66'"):
        evidence.control_label("SOC2-CC66")


@pytest.mark.parametrize(
    ("line", "blotted"),
    [
        ("token hvs.CAESIJ0123456789abc refused", "token … refused"),
        ("postgres://app:s3cret@db/x", "postgres://…@db/x"),
        ("authorization: Bearer abc.def", "authorization: Bearer …"),
        ("jwt eyJhbGciOiJSUzI1.eyJpc3MiOiJ2.c2ln end", "jwt … end"),
        ("password=hunter2&user=ada", "password=…&user=ada"),
        ("GET /api/projects 200", "GET /api/projects 200"),
        ("https://127.0.0.1:8443/login", "https://127.0.0.1:8443/login"),
    ],
)
def test_logs_are_kept_without_tokens(line: str, blotted: str) -> None:
    assert diagnosis.blotted(line) == blotted


def _event(at: datetime | None, message: str, **more: Any) -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(namespace="infraforge-data", creation_timestamp=SINCE),
        involved_object=SimpleNamespace(kind="Pod", name="postgres-0"),
        **{"type": "Warning", "reason": "Unhealthy", "message": message, "count": None}
        | {"series": None, "event_time": None, "last_timestamp": at}
        | more,
    )


def test_events_are_those_since_the_test_began() -> None:
    events = [
        _event(SINCE + timedelta(seconds=9), "later", count=3),
        _event(SINCE - timedelta(seconds=9), "earlier"),
        _event(None, "timed by its making"),
    ]
    assert diagnosis.events_text(events, SINCE).splitlines() == [
        "07:00:00  Warning  pod infraforge-data/postgres-0  Unhealthy: timed by its making",
        "07:00:09  Warning  pod infraforge-data/postgres-0  Unhealthy: later  (3 times)",
    ]
    assert diagnosis.events_text([], SINCE) == "none"


def test_pods_are_described_without_their_environment() -> None:
    ended = SimpleNamespace(exit_code=137, reason="OOMKilled", finished_at=SINCE)
    box = SimpleNamespace(
        name="postgres",
        ready=False,
        restart_count=2,
        image="postgres:17",
        state=SimpleNamespace(
            running=None,
            terminated=None,
            waiting=SimpleNamespace(reason="CrashLoopBackOff", message=None),
        ),
        last_state=SimpleNamespace(running=None, waiting=None, terminated=ended),
    )
    condition = SimpleNamespace(type="Ready", status="False", reason="Unready", message=None)
    pod = SimpleNamespace(
        metadata=SimpleNamespace(
            namespace="infraforge-data", name="postgres-0", deletion_timestamp=None
        ),
        spec=SimpleNamespace(node_name="node-1"),  # has no environment to read
        status=SimpleNamespace(
            phase="Running",
            conditions=[condition],
            init_container_statuses=None,
            container_statuses=[box],
        ),
    )
    assert diagnosis.pods_text([pod]).splitlines() == [
        "infraforge-data/postgres-0  Running  node node-1",
        "  not Ready  Unready",
        "  postgres  not ready  waiting: CrashLoopBackOff  restarts 2  postgres:17",
        "    before: ended with 137 (OOMKilled) at 07:00:00",
    ]
