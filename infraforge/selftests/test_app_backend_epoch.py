"""When a process of the backend may rely on what it knows of the cache epoch."""

from __future__ import annotations

import importlib

import pytest

from infraforge.selftests import apps  # noqa: F401

epoch = importlib.import_module("infraforge_backend.epoch")
heartbeat = importlib.import_module("infraforge_backend.heartbeat")
psycopg = importlib.import_module("psycopg")


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def knowledge(clock: Clock) -> object:
    return epoch.EpochKnowledge(2.0, clock)


def test_without_knowledge_nothing_is_usable(knowledge: object) -> None:
    assert knowledge.usable() is None
    knowledge.refused(50.0)
    assert knowledge.usable() is None


def test_knowledge_counts_from_before_the_question(knowledge: object, clock: Clock) -> None:
    asked = clock.now
    clock.now += 1.5  # the answer was slow
    knowledge.seen(7, asked)
    assert knowledge.usable() == 7
    clock.now += 0.5
    assert knowledge.usable() is None


def test_late_answer_does_not_replace_a_newer_one(knowledge: object, clock: Clock) -> None:
    knowledge.seen(8, clock.now)
    knowledge.seen(7, clock.now - 1)
    assert knowledge.usable() == 8


def test_while_nobody_gets_into_the_database_hits_go_on(knowledge: object, clock: Clock) -> None:
    knowledge.seen(7, clock.now)
    for _ in range(20):
        clock.now += 0.5
        knowledge.refused(clock.now)
        assert knowledge.usable() == 7


def test_expired_knowledge_is_not_extended(knowledge: object, clock: Clock) -> None:
    """A writer may have raised the epoch and acknowledged before PostgreSQL went away."""
    knowledge.seen(7, clock.now)
    clock.now += 30
    knowledge.refused(clock.now)
    assert knowledge.usable() is None
    knowledge.seen(8, clock.now)
    assert knowledge.usable() == 8


def test_a_proof_after_expiry_is_too_late(knowledge: object, clock: Clock) -> None:
    """Whatever it was asked for: PostgreSQL may have been there until just now."""
    knowledge.seen(7, clock.now)
    clock.now += 1.9
    asked = clock.now
    clock.now += 0.2
    knowledge.refused(asked)
    assert knowledge.usable() is None


def test_but_not_when_the_cache_failed_since(knowledge: object, clock: Clock) -> None:
    knowledge.seen(7, clock.now)
    clock.now += 0.5
    knowledge.cache_failed()
    clock.now += 1.5
    knowledge.refused(clock.now)
    assert knowledge.usable() is None
    knowledge.seen(7, clock.now)
    assert knowledge.usable() == 7


@pytest.mark.parametrize(
    ("text", "everybody", "login"),
    [
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            "Connection refused\n\tIs the server running on that host?",
            False,  # by the Service, perhaps: others may still be connected
            False,
        ),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            "FATAL:  the database system is starting up",
            True,
            False,
        ),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            "FATAL:  the database system is shutting down",
            False,  # a smart shutdown: sessions work on
            False,
        ),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            "FATAL:  the database system is in recovery mode",
            False,
            False,
        ),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            "server is in hot standby mode",
            False,
            False,
        ),
        ("connection timeout expired", False, False),
        ("failed to resolve host 'postgres': Name or service not known", False, False),
        ("consuming input failed: SSL error: unexpected eof while reading", False, False),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            'FATAL:  password authentication failed for user "v-1"',
            False,
            True,
        ),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
            'FATAL:  role "v-1" does not exist',
            False,
            True,
        ),
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: Connection '
            'refused\nconnection to server at "10.0.0.2", port 5432 failed: timeout expired',
            False,
            False,
        ),
    ],
)
def test_only_a_database_that_lets_nobody_in_counts_as_gone(
    text: str, everybody: bool, login: bool
) -> None:
    error = psycopg.OperationalError(text)
    assert heartbeat.refuses_everybody(error) is everybody
    assert heartbeat.refuses_login(error) is login
