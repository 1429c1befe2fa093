"""Threads that work for the duration of a block: they end with it and report failures."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest

from infraforge.errors import Inconclusive
from infraforge.wait import seconds, wait_until
from infraforge.workloads import crew as crews
from infraforge.workloads.crew import Crew


def often() -> float:
    return 0.001


def test_each_task_repeats_until_the_block_ends() -> None:
    counts = {name: itertools.count() for name in ("one", "two")}
    done = dict.fromkeys(counts, 0)

    def task(name: str) -> None:
        assert threading.current_thread().name == name
        done[name] = next(counts[name])

    with Crew({"one": lambda: task("one"), "two": lambda: task("two")}, often) as crew:
        wait_until(lambda: min(done.values()) >= 3, seconds(10), every=0.01)
        crew.complain()
    at_end = dict(done)
    assert done == at_end
    assert not [thread for thread in threading.enumerate() if thread.name in done]


def test_a_failed_task_is_reported_at_the_end() -> None:
    with pytest.raises(Inconclusive, match="ZeroDivisionError"), Crew({"one": fail}, often):
        pass


def test_a_failed_task_is_reported_on_request() -> None:
    with contextlib.suppress(Inconclusive), Crew({"one": fail}, often) as crew:
        wait_until(lambda: "one" not in names(), seconds(10), every=0.01)
        with pytest.raises(Inconclusive, match="division"):
            crew.complain()


def test_the_blocks_own_error_comes_first() -> None:
    with pytest.raises(KeyError), Crew({"one": fail}, often):
        raise KeyError


def test_a_task_that_does_not_end_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it goes on recording is not in the history that is judged."""
    monkeypatch.setattr(crews, "_STOPS_WITHIN", 0.01)
    ends = threading.Event()
    with (
        pytest.raises(Inconclusive, match=r"did not stop within .* s: endless"),
        Crew({"endless": lambda: ends.wait(30)}, often),
    ):
        pass
    ends.set()


def fail() -> None:
    1 / 0  # noqa: B018


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
