"""Where pods are and what keeps them apart, and a writer's longest wait, of a few values."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from infraforge.errors import ClusterError, Inconclusive
from infraforge.probes import placement
from infraforge.selftests.test_faults_containers import Pods, pod
from infraforge.wait import seconds, wait_until
from infraforge.workloads import crew
from infraforge.workloads.commits import Commits

HOST = "kubernetes.io/hostname"


def member(number: int, apart: str = HOST, spread: str = "DoNotSchedule") -> Any:
    made = pod(f"postgres-{number}", str(number), "postgres")
    made.spec.node_name = f"node-{number}"
    terms = [SimpleNamespace(topology_key=apart)] if apart else None
    rule = SimpleNamespace(required_during_scheduling_ignored_during_execution=terms)
    made.spec.affinity = SimpleNamespace(pod_anti_affinity=rule)
    made.spec.topology_spread_constraints = [
        SimpleNamespace(topology_key="topology.kubernetes.io/zone", when_unsatisfiable=spread)
    ]
    return made


def site(*pods: Any) -> Any:
    core = Pods(pods)
    nodes = [
        SimpleNamespace(
            metadata=SimpleNamespace(name=f"node-{n}", labels={"topology.kubernetes.io/zone": zone})
        )
        for n, zone in enumerate("abc")
    ]
    core.list_node = lambda: SimpleNamespace(items=nodes)  # type: ignore[attr-defined]
    return SimpleNamespace(core=core)


def test_places_are_told_with_what_keeps_them_apart() -> None:
    found = placement.of(site(member(0), member(1)), "postgres")
    assert [(one.node, one.zone) for one in found.places] == [("node-0", "a"), ("node-1", "b")]
    assert found.apart_by == (HOST,)
    assert found.spread_over == ("topology.kubernetes.io/zone",)
    assert "postgres-1: node node-1, zone b" in str(found)


@pytest.mark.parametrize(
    ("odd", "apart", "spread"),
    [
        (member(1, apart=""), (), ("topology.kubernetes.io/zone",)),
        (member(1, spread="ScheduleAnyway"), (HOST,), ()),
    ],
)
def test_a_rule_that_one_pod_lacks_is_no_rule(odd: Any, apart: Any, spread: Any) -> None:
    found = placement.of(site(member(0), odd), "postgres")
    assert (found.apart_by, found.spread_over) == (apart, spread)


def test_without_a_pod_nothing_is_told() -> None:
    with pytest.raises(ClusterError, match="no pod of postgres"):
        placement.of(site(), "postgres")


class Slow:
    """A connection whose commit number `at` takes `long` seconds, and whose number `ends` fails."""

    def __init__(self, at: int = -1, long: float = 0.0, ends: int = -1) -> None:
        self.at, self.long, self.ends, self.count = at, long, ends, 0
        self.closed = threading.Event()

    def execute(self, statement: str) -> None:
        self.count += 1
        if self.count == self.ends:
            raise psycopg.OperationalError("the server is gone")
        if self.count == self.at:
            self.closed.wait(self.long)

    def close(self) -> None:
        self.closed.set()


def test_the_longest_wait_is_that_of_the_slowest_commit() -> None:
    connection: Any = Slow(at=3, long=0.4)
    with Commits(connection) as commits:
        commits.until(6)
    assert 0.4 <= commits.longest_gap < 2.0
    assert commits.acknowledged >= 6


def test_a_writer_that_ended_is_told() -> None:
    connection: Any = Slow(ends=3)
    with (
        pytest.raises(Inconclusive, match="the server is gone"),
        Commits(connection) as commits,
        pytest.raises(Inconclusive, match="the server is gone"),
    ):
        commits.until(6, within=2.0)


def test_a_commit_that_does_not_end_is_told_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it waited is in no figure, so the block does not end as if nothing were."""
    monkeypatch.setattr(crew, "_STOPS_WITHIN", 0.01)
    connection: Any = Slow(at=3, long=60.0)
    with pytest.raises(Inconclusive, match="did not stop"), Commits(connection):
        wait_until(lambda: connection.count == 3, within=seconds(10), every=0.01)
    assert connection.closed.is_set()
