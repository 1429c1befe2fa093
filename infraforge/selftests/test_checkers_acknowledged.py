"""The set checker on histories that hold, break and stay unknown."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraforge.checkers import acknowledged_writes_kept
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.selftests.histories import history
from infraforge.verdict import Outcome


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            r invoke read
            r ok     read - [1]
            """,
            "1 acknowledged elements are in each of 1 final reads; 0 recovered",
            id="kept",
        ),
        pytest.param(
            """
            a invoke add - 1
            b invoke add - 2
            a ok     add - 1
            b info   add - 2
            r invoke read
            r ok     read - [2,1]
            """,
            "1 recovered",
            id="unknown, yet there: recovered",
        ),
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            a invoke add - 2
            r invoke read
            r ok     read - [1]
            """,
            "0 recovered",
            id="never completed, and not there",
        ),
        pytest.param(
            """
            r invoke read
            r ok     read - []
            a invoke add - 1
            a ok     add - 1
            r invoke read
            r ok     read - [1]
            """,
            "1 final reads",
            id="a read before the end is none of the final ones",
        ),
    ],
)
def test_holds(text: str, says: str) -> None:
    verdict = acknowledged_writes_kept(history(text))
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()
    assert says in verdict.explanation


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            r invoke read
            r ok     read - []
            """,
            "r: 1 lost: 1",
            id="lost",
        ),
        pytest.param(
            """
            a  invoke add - 1
            a  ok     add - 1
            m0 invoke read
            m1 invoke read
            m0 ok     read - [1]
            m1 ok     read - []
            """,
            "m1: 1 lost: 1",
            id="lost on one member",
        ),
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            a invoke add - 2
            a fail   add - 2
            r invoke read
            r ok     read - [1,2]
            """,
            "1 unexpected: 2",
            id="a failed add is there",
        ),
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            r invoke read
            r ok     read - [1,7]
            """,
            "1 unexpected: 7",
            id="nobody added it",
        ),
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            r invoke read
            r ok     read - [1,1]
            """,
            "1 duplicate: 1",
            id="twice",
        ),
        pytest.param(
            """
            a invoke add x 1
            a ok     add x 1
            b invoke add y 1
            b ok     add y 1
            r invoke read x
            r ok     read x [1]
            r invoke read y
            r ok     read y []
            """,
            "1 holds, 1 broken",
            id="lost from one of two sets",
        ),
    ],
)
def test_broken(text: str, says: str) -> None:
    verdict = acknowledged_writes_kept(history(text))
    assert verdict.outcome is Outcome.BROKEN, verdict.explain()
    assert says in verdict.explain()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "nothing was checked", id="empty"),
        pytest.param("a invoke add - 1\na ok add - 1", "was not read", id="nothing read"),
        pytest.param(
            """
            a invoke add - 1
            a ok     add - 1
            r invoke read
            r fail   read
            """,
            "was not read",
            id="the read failed",
        ),
        pytest.param(
            """
            a invoke add - 1
            r invoke read
            a ok     add - 1
            r ok     read - []
            """,
            "was not read after the last add",
            id="the read began too early",
        ),
        pytest.param(
            """
            a invoke add - 1
            a info   add - 1
            r invoke read
            r ok     read - []
            """,
            "no add was acknowledged",
            id="nothing acknowledged",
        ),
    ],
)
def test_unknown(text: str, says: str) -> None:
    verdict = acknowledged_writes_kept(history(text))
    assert verdict.outcome is Outcome.UNKNOWN, verdict.explain()
    assert says in verdict.explain()


def _set_run(seed: int, lose: bool) -> History:
    """Adds to a set, some failing, some unknown; then one read, with one element lost or none."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    recorder, stored, acknowledged = Recorder(), [], []
    for number in range(chance.randint(1, 20)):
        pending = recorder.invoke("w", "add", value=number)
        outcome = chance.choice(["ok", "fail", "info"]) if number else "ok"
        if outcome == "ok":
            stored.append(number)
            acknowledged.append(number)
            pending.ok(number)
        elif outcome == "fail":
            pending.fail()
        else:
            stored += [number] * chance.randint(0, 1)
            pending.info()
    if lose:
        stored.remove(chance.choice(acknowledged))
    chance.shuffle(stored)
    recorder.invoke("r", "read").ok(stored)
    return recorder.history


@given(st.integers(0, 2**32))
def test_a_set_that_keeps_what_it_acknowledged_never_breaks(seed: int) -> None:
    assert acknowledged_writes_kept(_set_run(seed, lose=False)).outcome is Outcome.HOLDS


@given(st.integers(0, 2**32))
def test_one_lost_element_is_always_caught(seed: int) -> None:
    assert acknowledged_writes_kept(_set_run(seed, lose=True)).outcome is Outcome.BROKEN
