"""Filling a folder: its witness and its undo, against a simulated cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from infraforge import faults
from infraforge.components import containers
from infraforge.faults.fill import Empty, Filling, put_out

MIB = 1024 * 1024
TMP = "/tmp"  # noqa: S108  the pod's own
TARGET = containers.Container("infraforge-access", "login-1", "u1", "node", "login", "id", 0)


class World:
    """One pod, with the commands run in it and the requests about it."""

    def __init__(self) -> None:
        self.uid, self.phase = "u1", "Running"
        self.size, self.there = 0, True
        self.ran: list[tuple[str, ...]] = []
        self.deleted: list[str] = []
        self.core = self

    def execute(self, _namespace: str, _pod: str, _container: str, *argv: str) -> str:
        self.ran.append(argv)
        if argv[0] == "sh":
            self.size = int(argv[4])
        return str(self.size)

    def read_namespaced_pod(self, _name: str, _namespace: str) -> Any:
        if not self.there:
            raise client.ApiException(status=404)
        return SimpleNamespace(
            metadata=SimpleNamespace(uid=self.uid),
            status=SimpleNamespace(phase=self.phase),
        )

    def delete_namespaced_pod(self, _name: str, _namespace: str, body: Any) -> None:
        self.deleted.append(body.preconditions.uid)


@pytest.fixture
def world() -> Any:
    return World()


def test_the_written_bytes_prove_the_fault(world: Any) -> None:
    aimed = Filling(TARGET, TMP, 3)
    assert aimed.took_effect(world) == ""
    aimed.strike(world)
    assert world.size == 3 * MIB
    assert str(3 * MIB) in aimed.took_effect(world)


def test_a_partial_write_proves_nothing(world: Any) -> None:
    world.size = 3 * MIB - 1
    assert Filling(TARGET, TMP, 3).took_effect(world) == ""


def test_the_eviction_of_the_pod_proves_the_fault(world: Any) -> None:
    world.phase = "Succeeded"
    assert "was evicted" in Filling(TARGET, TMP, 3).took_effect(world)


def test_another_process_can_undo_it(world: Any) -> None:
    undo = Filling(TARGET, TMP, 3).undo
    again = faults.UNDOS[undo.kind].restored(dict(undo.parameters))
    assert again == undo
    again.perform(world)
    assert world.ran == [("rm", "-f", f"{TMP}/infraforge-fill")]


def test_remains_are_removed_and_a_successor_is_not(world: Any) -> None:
    undo = Filling(TARGET, TMP, 3).undo
    world.phase = "Succeeded"
    undo.perform(world)
    assert world.deleted == ["u1"]
    world.uid = "u2"  # the name is another's
    undo.perform(world)
    world.there = False
    undo.perform(world)
    assert world.deleted == ["u1"]
    assert world.ran == []


@pytest.mark.parametrize(
    ("uid", "phase", "out"),
    [("u1", "Running", False), ("u1", "Failed", True), ("u1", "Succeeded", True),
     ("u1", "Pending", False), ("u2", "Running", True)],
)  # fmt: skip
def test_only_a_pod_that_is_gone_or_over_was_evicted(
    world: Any, uid: str, phase: str, out: bool
) -> None:
    world.uid, world.phase = uid, phase
    assert put_out(world, Empty("n", "p", "u1", "c", TMP)) is out
