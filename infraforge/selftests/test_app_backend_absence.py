"""What proves to the backend that PostgreSQL is gone for everybody, and what does not."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Sequence

import pytest

from infraforge.selftests import apps  # noqa: F401

absence = importlib.import_module("infraforge_backend.absence")


class Knowledge:
    def __init__(self) -> None:
        self.told: list[float] = []

    def now(self) -> float:
        return 50.0

    def refused(self, asked_at: float) -> None:
        self.told.append(asked_at)


@pytest.mark.parametrize(
    ("silent_for", "addresses", "refusing", "proved"),
    [
        (1.0, [], set(), True),
        (1.0, ["10.0.0.1"], {"10.0.0.1"}, True),
        (1.0, ["10.0.0.1", "10.0.0.2"], {"10.0.0.1", "10.0.0.2"}, True),
        (1.0, ["10.0.0.1"], set(), False),
        (1.0, ["10.0.0.1", "10.0.0.2"], {"10.0.0.1"}, False),
        (1.0, [""], {""}, False),
        (1.0, None, set(), False),
        (0.5, [], set(), False),
    ],
    ids=[
        "no pod", "its pod refuses", "all refuse", "its pod is silent", "one may answer",
        "a pod begins", "nobody says", "it answered just now",
    ],
)  # fmt: skip
def test_only_a_database_that_nobody_can_reach_is_gone(
    silent_for: float, addresses: Sequence[str] | None, refusing: set[str], proved: bool
) -> None:
    knowledge = Knowledge()
    absence.AbsencePulse(
        knowledge, lambda: silent_for, lambda: addresses, refusing.__contains__
    ).beat()
    assert knowledge.told == ([50.0] if proved else [])


def test_a_closed_port_refuses_and_an_open_one_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not absence.refuses("127.0.0.1", port)
    assert absence.refuses("127.0.0.1", port)


def test_an_unresolvable_address_is_not_a_refusal() -> None:
    assert not absence.refuses("no.such.host.invalid", 5432)
