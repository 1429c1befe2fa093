"""Making the application's database read-only, against a server that is made of a few values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import faults
from infraforge.components.postgres import DATABASE, Postgres
from infraforge.errors import ClusterError


class Server:
    """frozen: the setting; older: sessions of the backend from before it; connected: where to."""

    def __init__(self) -> None:
        self.frozen = False
        self.older = 2
        self.ends = True
        self.connected: list[str] = []

    def execute(self, query: Any, values: Any = ()) -> Any:
        text = query if isinstance(query, str) else query.as_string(None)
        value: Any = None
        if text.startswith("ALTER DATABASE"):
            assert self.connected[-1] == "postgres", "in its own database nobody changes it back"
            assert f'"{DATABASE}"' in text
            self.frozen = "RESET" not in text
        elif "pg_terminate_backend" in text:
            assert self.frozen, "sessions that begin before the setting could write"
            self.older = 0 if self.ends else 1
        elif "clock_timestamp" in text:
            value = "2026-11-28 00:00:00+00"
        elif "backend_start" in text:
            assert values[2] == "2026-11-28 00:00:00+00"
            value = self.older
        elif text.startswith("SHOW"):
            value = "on" if self.frozen else "off"
        else:
            value = int(self.frozen)
        return SimpleNamespace(fetchone=lambda: (value,))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()

    @contextlib.contextmanager
    def connect(self: Postgres, site: Any, database: str = DATABASE) -> Iterator[Server]:
        made.connected.append(database)
        yield made

    monkeypatch.setattr(Postgres, "connect", connect)
    return made


def test_sessions_that_could_write_are_ended_and_the_undo_lets_new_ones(server: Server) -> None:
    here: Any = SimpleNamespace()
    aimed = faults.ReadOnly().aim(here)
    assert not server.frozen
    aimed.strike(here)
    assert aimed.took_effect(here) == "sessions since 2026-11-28 00:00:00+00 are read-only"
    with pytest.raises(ClusterError, match="infraforge heal"):
        faults.ReadOnly().aim(here)
    aimed.undo.perform(here)
    assert not server.frozen
    assert aimed.took_effect(here) == ""
    aimed.undo.perform(here)  # safe to repeat


def test_nothing_is_proven_while_a_session_from_before_goes_on(server: Server) -> None:
    here: Any = SimpleNamespace()
    server.ends = False
    aimed = faults.ReadOnly().aim(here)
    aimed.strike(here)
    assert aimed.took_effect(here) == ""
