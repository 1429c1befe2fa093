"""Ending the backend's logins, against a simulated database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import sql

from infraforge import faults
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError

END = datetime(2026, 1, 1, tzinfo=UTC)


class Database:
    """Roles that may log in until their end; sessions: of whom the backend holds some."""

    def __init__(self, **until: datetime | str | None) -> None:
        self.until: dict[str, Any] = dict(until)
        self.sessions = set(until)

    def execute(self, query: Any, values: Any = ()) -> Any:
        rows: list[tuple[Any, ...]] = []
        if isinstance(query, sql.Composed):
            _, user, _, end = (part for part in query)
            self.until[user._obj[0]] = end._obj
        elif "pg_terminate_backend" in query:
            self.sessions -= set(values[0])
        elif "count(*)" in query:
            rows = [(int(values[0] in self.until),)]
        else:
            rows = [(user, self.until[user], False) for user in sorted(self.sessions)]
        return SimpleNamespace(fetchall=lambda: rows, fetchone=lambda: rows[0] if rows else None)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(one=END, two=END)

    @contextlib.contextmanager
    def connect(self: Postgres, site: Any) -> Iterator[Database]:
        yield made

    monkeypatch.setattr(Postgres, "connect", connect)
    return made


def test_logins_end_with_their_sessions_and_live_again(database: Database) -> None:
    here: Any = SimpleNamespace()
    aimed = faults.LoginsEnd().aim(here)
    assert aimed.took_effect(here) == ""
    aimed.strike(here)
    assert set(database.until.values()) == {"2000-01-01"}
    assert aimed.took_effect(here) == "no session of one, two"
    del database.until["two"]  # Vault was back meanwhile, and has dropped it
    aimed.undo.perform(here)
    assert database.until == {"one": END.isoformat()}


def test_a_backend_without_sessions_or_whose_logins_never_end_is_not_struck(
    database: Database,
) -> None:
    database.until = dict.fromkeys(database.until)
    with pytest.raises(ClusterError, match="no session under a login that expires"):
        faults.LoginsEnd().aim(SimpleNamespace())  # type: ignore[arg-type]
    database.sessions.clear()
    with pytest.raises(ClusterError, match="no session under a login that expires"):
        faults.LoginsEnd().aim(SimpleNamespace())  # type: ignore[arg-type]
