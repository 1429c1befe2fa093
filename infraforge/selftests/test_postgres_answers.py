"""What an error says of a statement: surely not done, or nobody can tell."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import errors

from infraforge.workloads.postgresql import Member, Members
from infraforge.workloads.postgresql.answers import Failed, Unsure, meaning, reconnects


class Told:
    """What libpq knows of an error that a server told: its fields, by their letters."""

    def __init__(self, state: str, severity: str) -> None:
        self._fields = {b"C"[0]: state.encode(), b"V"[0]: severity.encode()}

    def error_field(self, field: int) -> bytes | None:
        return self._fields.get(int(field))


def error(state: str, severity: str = "ERROR") -> psycopg.Error:
    kind: Any = errors.lookup(state)
    return kind("told", info=Told(state, severity))


LOST = psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize(
    "state",
    ["25006", "40001", "40P01", "23505", "42501", "22001", "53100", "55P03", "57014", "0A000"],
)
def test_an_aborted_transaction_is_surely_not_done(state: str) -> None:
    assert isinstance(meaning(error(state), sent=True), Failed)
    assert state in str(meaning(error(state), sent=True))


@pytest.mark.parametrize(
    ("state", "severity"),
    [
        ("57P01", "FATAL"),
        ("57P02", "FATAL"),
        ("08006", "ERROR"),
        ("08007", "ERROR"),
        ("40003", "ERROR"),
        ("58030", "ERROR"),
        ("XX000", "ERROR"),
        ("53100", "PANIC"),
        ("57014", "FATAL"),
    ],
)
def test_once_sent_all_else_is_unsure_and_before_it_nothing_happened(
    state: str, severity: str
) -> None:
    assert isinstance(meaning(error(state, severity), sent=True), Unsure)
    assert isinstance(meaning(error(state, severity), sent=False), Failed)


def test_a_connection_that_broke_is_unsure() -> None:
    assert isinstance(meaning(LOST, sent=True), Unsure)
    assert isinstance(meaning(LOST, sent=False), Failed)


def test_a_server_that_may_not_be_written_to_is_left() -> None:
    """Else a pooled connection stays with the former primary for ever."""
    for gone in (error("25006"), error("57P01", "FATAL"), error("08006"), LOST):
        assert reconnects(gone)
    for stays in (error("40001"), error("23505"), error("57014")):
        assert not reconnects(stays)


def test_every_member_is_named_to_libpq() -> None:
    members = Members((Member("a", 1, "127.0.0.1"), Member("b", 2, "127.0.0.2")), {"user": "u"})
    told = members.parameters("read-write")
    assert (told["host"], told["port"], told["hostaddr"]) == ("a,b", "1,2", "127.0.0.1,127.0.0.2")
    assert told["target_session_attrs"] == "read-write"
    assert told["user"] == "u"
    assert "hostaddr" not in Members((Member("a"), Member("b"))).parameters("any")
    assert members.only("b").parameters("any")["host"] == "b"
    with pytest.raises(KeyError):
        members.only("c")
