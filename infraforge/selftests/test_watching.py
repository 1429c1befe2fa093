"""Waiting for a fact by watches: in time, or not at all."""

from __future__ import annotations

from typing import Any

from infraforge.cluster.watching import Watching
from infraforge.wait import Deadline


def watching() -> Watching:
    api: Any = None  # nothing is asked: no watch runs
    return Watching(api)


def test_a_fact_in_time_is_true() -> None:
    assert watching().until(lambda: True, Deadline(30))


def test_a_fact_after_the_deadline_is_not() -> None:
    used_up = Deadline(0.001)
    used_up.pause(1)
    assert not watching().until(lambda: True, used_up)


def test_a_fact_that_never_comes_ends_with_the_deadline() -> None:
    assert not watching().until(lambda: False, Deadline(0.01))
