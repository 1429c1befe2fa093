"""Faults of single Redis servers and sentinels: they bite and say so, or are unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infraforge import faults
from infraforge.components.redis import RedisComponent
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.errors import ClusterError, Inconclusive, TimedOut
from infraforge.faults import Away, Position
from infraforge.faults.base import Fault
from infraforge.faults.journal import Journal
from infraforge.faults.nemesis import Nemesis, heal
from infraforge.selftests.fake_servers import UNDOS_OF_SERVERS, World
from infraforge.selftests.test_faults_members import snapshot

EVERY: dict[str, Fault] = {
    "master crashed": faults.KillServer("cache"),
    "replica crashed": faults.KillServer("sessions", Position.REPLICA),
    "master's pod killed": faults.DeleteServer("sessions"),
    "master frozen": faults.FreezeServer("sessions"),
    "sentinel frozen": faults.FreezeServer("sessions", "redis-sentinel-1"),
    "master held down": faults.HoldServerDown("cache"),
    "sentinel held down": faults.HoldServerDown("cache", "redis-sentinel-2"),
    **{
        f"master cut off from {away.value}": faults.CutServerOff("sessions", away)
        for away in Away
        if away is not Away.MASTER
    },
    "sentinel cut off from the master": faults.CutServerOff(
        "sessions", Away.MASTER, "redis-sentinel-1"
    ),
    "another promoted": faults.PromoteAnother("cache"),
    "master and sentinel": faults.Together(
        (faults.HoldServerDown("cache"), faults.FreezeServer("cache", "redis-sentinel-2"))
    ),
}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def made(*, bites: bool = True) -> World:
        monkeypatch.setattr(RedisComponent, "master", lambda s, site: site.look_at(s._group).master)
        monkeypatch.setattr(RedisComponent, "look", lambda s, site: site.look_at(s._group))
        monkeypatch.setattr(RedisSentinel, "views", lambda _s, site, group: site.views(group))
        monkeypatch.setattr(
            RedisSentinel, "promote_another", lambda _s, site, group: site.promote_another(group)
        )
        return World(bites=bites)

    return made


def test_every_undo_of_servers_is_tried_below(world: Callable[..., Any]) -> None:
    kinds = set()
    for fault in EVERY.values():
        here = world()
        Nemesis(here, proven_within=0.2).inject(fault)
        kinds |= {entry.kind for entry in Journal.of("selftest").read().entries}
        heal(here)
    assert kinds == UNDOS_OF_SERVERS


@pytest.mark.parametrize("name", EVERY)
def test_a_fault_is_proven_and_undone(world: Callable[..., Any], name: str) -> None:
    here = world()
    before = snapshot(here)
    nemesis = Nemesis(here, proven_within=0.2)
    assert nemesis.inject(EVERY[name])
    nemesis.heal()
    assert snapshot(here) == before
    assert not Journal.of("selftest").read().entries


@pytest.mark.parametrize("name", EVERY)
def test_a_fault_that_does_nothing_is_unknown(world: Callable[..., Any], name: str) -> None:
    here = world(bites=False)
    with pytest.raises(TimedOut, match="took effect"):
        Nemesis(here, proven_within=0.05).inject(EVERY[name])


@pytest.mark.parametrize("name", EVERY)
def test_another_process_undoes_it_from_the_journal_alone(
    world: Callable[..., Any], name: str
) -> None:
    here = world()
    before = snapshot(here)
    Nemesis(here, proven_within=0.2).inject(EVERY[name])
    [entry] = Journal.of("selftest").read().entries
    assert all(isinstance(value, str) for value in entry.parameters.values())
    again = faults.UNDOS[entry.kind].restored(entry.parameters)
    assert (again.kind, again.parameters) == (entry.kind, entry.parameters)
    assert heal(here) == (EVERY[name].describe(),)
    assert snapshot(here) == before


@pytest.mark.parametrize("name", EVERY)
def test_an_undo_of_what_never_struck_changes_nothing(world: Callable[..., Any], name: str) -> None:
    here = world()
    before = snapshot(here)
    EVERY[name].aim(here).undo.perform(here)
    assert snapshot(here) == before


@pytest.mark.parametrize("name", EVERY)
def test_a_group_that_is_not_whole_is_not_broken_further(
    world: Callable[..., Any], name: str
) -> None:
    here = world()
    here.whole = False
    with pytest.raises(ClusterError):
        EVERY[name].aim(here)


def test_the_second_fault_of_a_test_is_waited_for_by_the_first(world: Callable[..., Any]) -> None:
    here = world()
    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(faults.CutServerOff("cache", Away.MEMBERS))
    here.whole = False
    nemesis.inject(faults.FreezeServer("cache", "redis-cache-0", on_top=True))
    with pytest.raises(Inconclusive, match=r"off from the other members.*a member is away"):
        nemesis.heal()
    here.whole = True
    assert len(nemesis.heal()) == 1


def test_who_is_cut_off_is_told_by_address(world: Callable[..., Any]) -> None:
    """Cut off from one kind, all others go on reaching it; its own address is in no rule."""
    here = world()
    meant = {
        Away.SENTINELS: "redis-sentinel",
        Away.MEMBERS: "redis-sessions",
        Away.CLIENTS: "oauth2-proxy",
    }
    for away, component in meant.items():
        aimed = faults.CutServerOff("sessions", away).aim(here)
        told = {word for rule in aimed.rules for word in rule if word.startswith("10.")}
        wanted = {
            pod.status.pod_ip
            for pod in here.pods
            if pod.metadata.name.startswith(component) and pod.metadata.name != "redis-sessions-0"
        }
        assert told == wanted


def test_a_sentinel_may_miss_the_master_alone(world: Callable[..., Any]) -> None:
    here = world()
    aimed = faults.CutServerOff("sessions", Away.MASTER, "redis-sentinel-1").aim(here)
    assert {word for rule in aimed.rules for word in rule if word.startswith("10.")} == {
        pod.status.pod_ip for pod in here.pods if pod.metadata.name == "redis-sessions-0"
    }
    with pytest.raises(ClusterError, match="nobody is there to be cut off from"):
        faults.CutServerOff("sessions", Away.MASTER).aim(here)


def test_the_roles_that_are_not_there_are_told(world: Callable[..., Any]) -> None:
    here = world()
    here.pods = [pod for pod in here.pods if not pod.metadata.name.startswith("oauth2")]
    with pytest.raises(ClusterError, match="nobody is there to be cut off from"):
        faults.CutServerOff("sessions", Away.CLIENTS).aim(here)


def test_a_node_that_takes_no_pods_is_not_taken(world: Callable[..., Any]) -> None:
    here = world()
    here.cordoned["node-0"] = True
    with pytest.raises(ClusterError, match="takes no pods before the fault"):
        faults.HoldServerDown("cache").aim(here)
