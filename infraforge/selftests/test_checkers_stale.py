"""The stale-read checker on histories that hold, break and stay unknown, and on random ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infraforge.checkers import no_stale_read, reads_are_monotonic
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.selftests.histories import history
from infraforge.verdict import Outcome

HOLDS = {
    "the read finds what was acknowledged": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x [2,"two"]
        """,
    "or something newer": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        a invoke write x "three"
        b ok     read  x [3,"three"]
        a ok     write x [3,"three"]
        """,
    "an overlapping read may find the old": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke write x "three"
        b invoke read  x
        a ok     write x [3,"three"]
        b ok     read  x [2,"two"]
        """,
    "an unanswered write may show": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke write x "three"
        a info   write x "three"
        b invoke read  x
        b ok     read  x [3,"three"]
        """,
    "or not show, or not yet": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke write x "three"
        a info   write x "three"
        b invoke read  x
        b ok     read  x [2,"two"]
        b invoke read  x
        b ok     read  x [3,"three"]
        """,
    "an unanswered write overwritten by an acknowledged one": """
        a invoke write x "two"
        a info   write x "two"
        b invoke write x "three"
        b ok     write x [3,"three"]
        c invoke read  x
        c ok     read  x [3,"three"]
        """,
    "absent after a delete": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke delete x
        a ok     delete x
        b invoke read  x
        b ok     read  x null
        """,
    "absent before the first write, and while it runs": """
        b invoke read  x
        b ok     read  x null
        a invoke write x "one"
        b invoke read  x
        a ok     write x [1,"one"]
        b ok     read  x null
        b invoke read  x
        b ok     read  x [1,"one"]
        """,
    "an unanswered delete may show, or not": """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke delete x
        a info   delete x
        b invoke read  x
        b ok     read  x [2,"two"]
        b invoke read  x
        b ok     read  x null
        """,
    "what was there before the first write": """
        b invoke read  x
        b ok     read  x [1,"zero"]
        a invoke write x "two"
        b invoke read  x
        a ok     write x [2,"two"]
        b ok     read  x [1,"zero"]
        b invoke read  x
        b ok     read  x [2,"two"]
        """,
    "keys are apart": """
        a invoke write x "five"
        a ok     write x [5,"five"]
        b invoke write y "one"
        b ok     write y [1,"one"]
        b invoke read  y
        b ok     read  y [1,"one"]
        """,
}
BROKEN = {
    "stale": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke write x "three"
        a ok     write x [3,"three"]
        b invoke read  x
        b ok     read  x [2,"two"]
        """,
        "version 2 of x was read after version 3 was acknowledged",
    ),
    "stale though another write runs": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke write x "three"
        c invoke read  x
        c ok     read  x [1,"one"]
        """,
        "version 1 of x was read after version 2 was acknowledged",
    ),
    "absent after a write": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x null
        """,
        "absence of x was read after version 2 was acknowledged",
    ),
    "absent before the delete": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x null
        a invoke delete x
        a ok     delete x
        """,
        "absence of x was read",
    ),
    "there after the delete": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke delete x
        a ok     delete x
        b invoke read  x
        b ok     read  x [2,"two"]
        """,
        "version 2 of x was read after its deletion was acknowledged",
    ),
    "stale after an unanswered write": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke write x "three"
        a info   write x "three"
        b invoke read  x
        b ok     read  x [1,"one"]
        """,
        "version 1 of x was read",
    ),
    "a failed write shows": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        a invoke write x "three"
        a fail   write x "three"
        b invoke read  x
        b ok     read  x [3,"three"]
        """,
        "nobody wrote version 3 of x",
    ),
    "a failed write shows as if it had been there": (
        """
        a invoke write x "one"
        a fail   write x "one"
        b invoke read  x
        b ok     read  x [1,"one"]
        """,
        "nobody wrote version 1 of x",
    ),
    "a value nobody wrote": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x [9,"nine"]
        """,
        "nobody wrote version 9 of x",
    ),
    "two values from before the first write": (
        """
        b invoke read  x
        b ok     read  x [1,"zero"]
        b invoke read  x
        b ok     read  x [2,"other"]
        """,
        "nobody wrote version 2 of x",
    ),
    "an unanswered write shows before it began": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x [3,"three"]
        a invoke write x "three"
        a info   write x "three"
        """,
        "nobody wrote version 3 of x",
    ),
    "from the future": (
        """
        b invoke read  x
        b ok     read  x [2,"two"]
        a invoke write x "two"
        a ok     write x [2,"two"]
        """,
        "version 2 of x was read before it was written",
    ),
    "another content": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b ok     read  x [2,"zwei"]
        """,
        "version 2 of x stands for two writes",
    ),
    "a lost update": (
        """
        a invoke write x "two"
        b invoke write x "zwei"
        a ok     write x [2,"two"]
        b ok     write x [2,"zwei"]
        """,
        "version 2 of x stands for two writes",
    ),
    "a lost update of the same content": (
        """
        a invoke write x "two"
        b invoke write x "two"
        a ok     write x [2,"two"]
        b ok     write x [2,"two"]
        """,
        "version 2 of x stands for two writes",
    ),
    "versions run back": (
        """
        a invoke write x "three"
        a ok     write x [3,"three"]
        b invoke write x "two"
        b ok     write x [2,"two"]
        """,
        "version 2 of x was given after version 3",
    ),
}
UNKNOWN = {
    "empty": ("", "no read began after"),
    "nothing acknowledged": (
        """
        a invoke write x "two"
        a info   write x "two"
        b invoke read  x
        b ok     read  x [2,"two"]
        """,
        "no read began after",
    ),
    "nothing read afterwards": (
        """
        b invoke read  x
        a invoke write x "two"
        a ok     write x [2,"two"]
        b ok     read  x [2,"two"]
        """,
        "no read began after",
    ),
    "reads failed": (
        """
        a invoke write x "two"
        a ok     write x [2,"two"]
        b invoke read  x
        b fail   read  x
        """,
        "no read began after",
    ),
    "a key used again": (
        """
        a invoke delete x
        a ok     delete x
        a invoke write x "one"
        a ok     write x [1,"one"]
        b invoke read  x
        b ok     read  x [1,"one"]
        """,
        "written after its deletion",
    ),
}


@pytest.mark.parametrize("text", HOLDS.values(), ids=HOLDS)
def test_holds(text: str) -> None:
    verdict = no_stale_read(history(text))
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN)
def test_broken(text: str, says: str) -> None:
    verdict = no_stale_read(history(text))
    assert verdict.outcome is Outcome.BROKEN, verdict.explain()
    assert says in verdict.explain()
    assert verdict.evidence


@pytest.mark.parametrize(("text", "says"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown(text: str, says: str) -> None:
    verdict = no_stale_read(history(text))
    assert verdict.outcome is Outcome.UNKNOWN, verdict.explain()
    assert says in verdict.explain()


def test_each_broken_key_is_told() -> None:
    stale = BROKEN["stale"][0]
    both = history(stale + stale.replace(" x ", " y ").replace(" x\n", " y\n"))
    assert no_stale_read(both).explanation == "2 broken"


class Simulation:
    """Clients of one atomic register: each operation takes effect at one moment between its
    invocation and its completion, in an order that the seed decides."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.recorder = Recorder()
        self.version = 1
        self.content: str | None = "initial"
        self.past: list[tuple[int, str | None]] = [(1, "initial")]

    def run(self, steps: int = 60) -> History:
        clients = [self.client(f"c{number}") for number in range(4)]
        for _ in range(steps):
            next(self.chance.choice(clients))
        return self.recorder.history

    def client(self, name: str) -> Iterator[None]:
        for count in range(10**6):
            function = self.chance.choice(["read", "read", "write"])
            if self.chance.random() < 0.02:
                function = "delete"
            content = f"{name}-{count}" if function == "write" else None
            pending = self.recorder.invoke(name, function, "x", content)
            yield
            outcome = self.chance.choice(["ok"] * 8 + ["info", "fail"])
            happens = outcome == "ok" or (outcome == "info" and self.chance.random() < 0.5)
            answer = self.apply(function, content) if happens else None
            yield
            if function == "write" and outcome == "ok" and answer is None:
                outcome = "fail"  # the key is gone for good
            if outcome == "ok":
                pending.ok(answer)
            elif outcome == "fail":
                pending.fail()
            else:
                pending.info()
            yield

    def apply(self, function: str, content: str | None) -> tuple[int, str] | None:
        if function != "read" and self.content is not None:
            self.content = content
            self.version += 1
            self.past.append((self.version, content))
        return None if self.content is None else (self.version, self.content)

    def stale_read(self) -> bool:
        """Add a read of something older than what was acknowledged by now, if there is any."""
        acknowledged = [
            call.value[0]
            for call in self.recorder.history.of("write")
            if call.ok and isinstance(call.value, tuple)
        ]
        deleted = any(call.ok for call in self.recorder.history.of("delete"))
        newest = self.version if deleted else max(acknowledged, default=1)
        older = [past for past in self.past if past[0] < newest and past[1] is not None]
        if older:
            self.recorder.invoke("stale", "read", "x").ok(self.chance.choice(older))
        return bool(older)


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_an_atomic_register_never_breaks(seed: int) -> None:
    verdict = no_stale_read(Simulation(seed).run())
    assert verdict.outcome is not Outcome.BROKEN, verdict.explain()


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_an_injected_stale_read_is_always_caught(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run()
    if simulation.stale_read():
        verdict = no_stale_read(simulation.recorder.history)
        assert verdict.outcome is Outcome.BROKEN, verdict.explain()


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_an_atomic_register_reads_monotonically(seed: int) -> None:
    verdict = reads_are_monotonic(Simulation(seed).run())
    assert verdict.outcome is not Outcome.BROKEN, verdict.explain()


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("b invoke read x\nb ok read x [2,2]\nb invoke read x\nb ok read x [2,2]", Outcome.HOLDS),
        ("b invoke read x\nb ok read x [2,2]\nb invoke read x\nb ok read x [1,1]", Outcome.BROKEN),
        ("b invoke read x\nb ok read x [2,2]\nc invoke read x\nc ok read x [1,1]", Outcome.UNKNOWN),
        ("b invoke read x\nb ok read x [2,2]\nb invoke read y\nb ok read y [1,1]", Outcome.UNKNOWN),
    ],
)
def test_a_client_never_sees_an_older_version_again(text: str, outcome: Outcome) -> None:
    assert reads_are_monotonic(history(text)).outcome is outcome
