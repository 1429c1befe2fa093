"""A person's present standing: how long Vault's answer counts, and what counts without one."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401
from infraforge.wait import seconds, wait_until

standing = importlib.import_module("infraforge_backend.standing")
problems = importlib.import_module("infraforge_shared.problems")

FRESH, GRACE = 20.0, 3600.0


class World:
    """A Vault, a shelf and a clock."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.up = True
        self.lost = 0  # how many questions are still to go unanswered
        self.forbids = False
        self.asked = 0
        self.groups = ["g1"]
        self.disabled = False
        self.shelf: dict[str, bytes] = {}

    def look_up(self, path: str) -> Any:
        if self.lost:
            self.lost -= 1
            raise problems.Unavailable("vault does not answer")
        if self.forbids:
            raise problems.NotAllowed("vault does not let this process ask")
        if not self.up:
            raise problems.Unavailable("vault does not answer")
        if path == "identity/group/id/g1":
            return {"name": "developer"}
        self.asked += 1
        if path != "identity/entity/id/e1":
            return None
        return {"name": "devon", "group_ids": self.groups, "disabled": self.disabled}

    def keep(self, key: str, value: bytes, _seconds: float) -> None:
        self.shelf[key] = value

    def kept(self, key: str) -> bytes | None:
        return self.shelf.get(key)

    def process(self) -> Any:
        return standing.Standings(self.look_up, self, FRESH, GRACE, clock=lambda: self.time)


@pytest.fixture
def world() -> World:
    return World()


def test_an_answer_counts_for_a_limited_time(world: World) -> None:
    process = world.process()
    assert process.of("e1").groups == ("developer",)
    world.disabled, world.groups = True, []
    world.time += FRESH / 2 - 1
    assert not process.of("e1").disabled
    assert world.asked == 1
    world.time += FRESH / 2 + 1
    assert process.of("e1") == standing.Standing("devon", (), True)


def test_half_way_through_it_is_asked_again_in_the_background(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.disabled = True
    world.time += FRESH / 2
    process.of("e1")
    wait_until(lambda: process.of("e1").disabled, seconds(5))
    assert world.asked == 2


def test_an_unknown_person_is_disabled(world: World) -> None:
    assert world.process().of("e2") == standing.Standing("", (), True)


def test_without_vault_the_last_answer_counts_for_a_while(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.up = False
    world.time += FRESH + 1
    assert process.of("e1").groups == ("developer",)
    world.time += GRACE
    with pytest.raises(problems.Unavailable):
        process.of("e1")


def test_without_vault_another_process_answer_counts_too(world: World) -> None:
    world.process().of("e1")
    world.up = False
    assert world.process().of("e1").groups == ("developer",)
    world.time += GRACE
    with pytest.raises(problems.Unavailable):
        world.process().of("e1")


def test_a_later_no_of_another_process_wins_over_an_older_yes(world: World) -> None:
    early, late = world.process(), world.process()
    early.of("e1")
    world.time += 5
    world.disabled = True
    assert late.of("e1").disabled
    world.up = False
    world.time += FRESH
    assert early.of("e1").disabled


def test_without_any_answer_there_is_no_access(world: World) -> None:
    world.up = False
    with pytest.raises(problems.Unavailable):
        world.process().of("e1")


def test_once_vault_answers_again_it_is_believed_soon(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.up = False
    world.time += FRESH + 1
    process.of("e1")
    world.up, world.disabled = True, True
    world.time += 1
    process.of("e1")
    wait_until(lambda: process.of("e1").disabled, seconds(5))


def test_a_silent_vault_holds_up_nobody_who_is_known(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.up = False
    world.time += FRESH + 1
    process.of("e1")
    hanging = threading.Event()

    def hang(_path: str) -> Any:
        hanging.wait(5)
        raise problems.Unavailable("vault does not answer")

    process._look_up = hang
    try:
        for _ in range(20):
            world.time += 2
            assert process.of("e1").groups == ("developer",)
    finally:
        hanging.set()


def test_one_lost_answer_is_asked_for_again(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.disabled = True
    world.time += FRESH + 1
    world.lost = 1
    assert process.of("e1").disabled


def test_one_persons_lost_answers_say_nothing_of_another(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.time += FRESH + 1
    world.disabled = True
    world.lost = 2
    with pytest.raises(problems.Unavailable):
        process.of("e2")
    world.time += standing._SILENT_FOR + 1
    assert process.of("e1").disabled


def test_a_vault_that_forbids_is_not_silent(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.forbids = True
    world.time += FRESH - 1
    assert process.of("e1").groups == ("developer",)
    world.time += 2
    for _ in range(3):
        with pytest.raises(problems.NotAllowed):
            process.of("e1")
    with pytest.raises(problems.NotAllowed):
        world.process().of("e1")  # not what another process left, either
    world.forbids, world.disabled = False, True
    assert process.of("e1").disabled


def test_a_refusal_ends_the_silence(world: World) -> None:
    process = world.process()
    process.of("e1")
    world.up = False
    world.time += FRESH + 1
    assert process.of("e1").groups == ("developer",)
    world.forbids = True
    world.time += standing._ASK_AGAIN
    process.of("e1")

    def refused() -> bool:
        try:
            process.of("e1")
        except problems.NotAllowed:
            return True
        return False

    wait_until(refused, seconds(5))
