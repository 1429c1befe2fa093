"""Faults of single members of PostgreSQL: they bite and say so, or are unknown; all are undone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import faults
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError, Inconclusive, TimedOut, Unable
from infraforge.faults import cut, member, nodes, processes
from infraforge.faults.base import Fault
from infraforge.faults.journal import Journal
from infraforge.faults.nemesis import Nemesis, heal
from infraforge.selftests.fake_members import POSTGRES, UNDOS_OF_MEMBERS, World, line

PRIMARY, SYNCHRONOUS, OTHER = faults.Role
EVERY: dict[str, Fault] = {
    "postmaster killed": faults.KillPostmaster(),
    "pod killed": faults.KillMember(),
    "member crashed": faults.CrashMember(),
    "member held down": faults.HoldMemberDown(),
    "member held down for long": faults.HoldMemberDown(OTHER, for_long=True),
    "Patroni frozen": faults.FreezePatroni(),
    "member frozen": faults.FreezeMember(),
    "synchronous standby frozen": faults.FreezeMember(SYNCHRONOUS),
    "synchronous standby cut off": faults.CutOff(SYNCHRONOUS, faults.From.EVERYBODY),
    "synchronous standby killed": faults.KillMember(SYNCHRONOUS),
    "cut off from peers": faults.CutOff(),
    "API away": faults.ApiAway(),
    "API flaps": faults.ApiFlaps(),
    "node paused": faults.PauseNode(),
    "node cut off": faults.CutNodeOff(),
    "switchover": faults.Switchover(),
    "two frozen": faults.Together((faults.FreezeMember(), faults.FreezeMember(SYNCHRONOUS))),
    "two cut off": faults.Together((faults.CutOff(OTHER), faults.CutOff())),
    "cut off, not waited for": faults.Unawaited(faults.CutOff()),
    "node cut off, not waited for": faults.Unawaited(faults.CutNodeOff()),
    "two held down": faults.Together((faults.HoldMemberDown(), faults.HoldMemberDown(OTHER))),
}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def made(*, bites: bool = True) -> World:
        found = World(bites=bites)
        monkeypatch.setattr(Postgres, "primary", lambda _s, site: site.leading)
        monkeypatch.setattr(Postgres, "look", lambda _s, site: site.look())
        monkeypatch.setattr(Postgres, "patroni", lambda _s, site, *rest: site.patroni(*rest))
        monkeypatch.setattr(cut.client, "DiscoveryV1Api", lambda _: found)
        monkeypatch.setattr(nodes, "Kind", World)
        monkeypatch.setattr(nodes, "docker", found.docker)
        monkeypatch.setattr(
            nodes.node_containers, "inspect", lambda names: [found.container(n) for n in names]
        )
        monkeypatch.setattr(
            nodes.node_containers,
            "find",
            lambda *_: [found.container(name) for name in found.containers],
        )
        return found

    return made


def snapshot(world: World) -> str:
    """All that a fault could have left behind."""
    containers = {name: vars(one) for name, one in world.containers.items()}
    stopped = [
        one for lines in world.lines.values() for one in lines if one.split()[2].startswith("T")
    ]
    loops = [one for lines in world.lines.values() for one in lines if "infraforge-flap" in one]
    cordoned = [name for name, value in world.cordoned.items() if value]
    left = (world.tasks, world.chains, containers, stopped, loops, cordoned)
    return json.dumps(left, sort_keys=True)


def test_every_undo_of_members_is_tried_below(world: Callable[..., Any]) -> None:
    kinds = set()
    for fault in EVERY.values():
        here = world()
        Nemesis(here, proven_within=0.2).inject(fault)
        kinds |= {entry.kind for entry in Journal.of("selftest").read().entries}
        heal(here)
    assert kinds == UNDOS_OF_MEMBERS


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
    """Whoever broke it was killed: what is on disk is all there is."""
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
    """The journal is written first: whoever dies in between leaves an undo for nothing."""
    here = world()
    before = snapshot(here)
    EVERY[name].aim(here).undo.perform(here)
    assert snapshot(here) == before


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_begun_where_a_member_is_away_already(
    world: Callable[..., Any], name: str
) -> None:
    here = world()
    here.whole = False
    with pytest.raises(ClusterError):
        EVERY[name].aim(here)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in EVERY
        if "not waited for" not in name and name not in ("pod killed", "member held down for long")
    ],
)
def test_a_member_that_stays_away_keeps_the_entry(world: Callable[..., Any], name: str) -> None:
    here = world()
    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(EVERY[name])
    here.whole = False
    with pytest.raises(Inconclusive, match="members of PostgreSQL stream"):
        nemesis.heal()
    assert Journal.of("selftest").read().entries


@pytest.mark.parametrize("name", ["node paused", "node cut off"])
def test_nodes_that_are_not_ours_are_not_touched(
    world: Callable[..., Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world()
    monkeypatch.setattr(nodes.node_containers, "find", lambda *_: [])
    with pytest.raises(ClusterError, match="no node of cluster selftest"):
        EVERY[name].aim(here)
    monkeypatch.setattr(nodes, "Kind", dict)
    with pytest.raises(Unable):
        EVERY[name].aim(here)
    assert not [one for one in here.asked if one[:1] == ("docker",)]


# whom


@pytest.mark.parametrize(
    ("who", "place"),
    [
        (PRIMARY, "postgres-0"),
        (SYNCHRONOUS, "postgres-1"),
        (OTHER, "postgres-2"),
        ("postgres-2", "postgres-2"),
    ],
)
def test_a_fault_aims_at_the_member_of_that_role(
    world: Callable[..., Any], who: Any, place: str
) -> None:
    assert faults.KillMember(who).aim(world()).target.pod == place


def test_without_such_a_member_there_is_no_fault(
    world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world()
    here.profile.components["postgres"]["replicas"] = 2
    two = here.look().__class__("postgres-0", ("postgres-1",), (), ("postgres-1",))
    monkeypatch.setattr(here, "look", lambda: two)
    faults.KillMember(SYNCHRONOUS).aim(here)
    with pytest.raises(ClusterError, match="no member is a standby that nobody waits for"):
        faults.KillMember(OTHER).aim(here)


@pytest.mark.parametrize(
    "fault",
    [faults.Pause("postgres"), faults.KillPod("postgres"), faults.KillContainer("postgres")],
)
def test_a_fault_of_the_component_aims_at_its_primary(
    world: Callable[..., Any], fault: Any
) -> None:
    here = world()
    here.leading = "postgres-2"
    assert fault.aim(here).target.pod == "postgres-2"


@pytest.mark.parametrize("name", ["postmaster killed", "cut off from peers", "node paused"])
def test_a_fault_that_nobody_waits_for_is_the_same_but_for_the_wait(
    world: Callable[..., Any], name: str
) -> None:
    """Where a test's claim is that all stream again, its own wait has to say so."""
    here = world()
    aimed, plain = faults.Unawaited(EVERY[name]).aim(here), EVERY[name].aim(here)
    assert aimed.lasting == plain.lasting
    assert aimed.undo.kind == plain.undo.kind
    waits = {"members": "0", "within": "0.0"}
    assert dict(aimed.undo.parameters) == {**plain.undo.parameters, **waits}


# processes


def test_the_processes_of_one_container_are_told_from_the_nodes() -> None:
    found = processes.parse("\n".join([*World().lines["node-1"], "cut short", ""]))
    assert len(found) == 6
    own = [one for one in found if 1000 <= one.pid < 1100]
    assert processes.postmaster(own).command == POSTGRES
    assert processes.patroni(own).pid == 1011
    with pytest.raises(ClusterError, match="0 processes are its postmaster"):
        processes.postmaster(own[:2])


def test_a_child_that_was_just_forked_is_not_the_postmaster() -> None:
    """Until it says what it is for, it has the command of its parent."""
    own = [one for one in processes.parse("\n".join(World().lines["node-1"])) if one.pid < 1100]
    first = processes.postmaster(own)
    child = dataclasses.replace(first, pid=1099, parent=first.pid)
    assert processes.postmaster([child, *own]) == first


def test_patroni_that_is_process_1_itself_is_not_mistaken() -> None:
    """Without the child there is nobody to stop: no signal from within stops process 1."""
    found = processes.parse(line(1000, 900, "/usr/bin/python3 /usr/bin/patroni /etc/patroni"))
    with pytest.raises(ClusterError, match="0 processes are its Patroni"):
        processes.patroni(found)


def test_a_frozen_patroni_over_a_frozen_postgresql_is_no_proof(world: Callable[..., Any]) -> None:
    here = world()
    aimed = faults.FreezePatroni().aim(here)
    aimed.strike(here)
    assert "is in state T" in aimed.took_effect(here)
    here.on_node("node-0", "kill", "-STOP", str(aimed.beside.pid))
    assert aimed.took_effect(here) == ""


def test_another_process_with_the_same_number_is_left_alone(world: Callable[..., Any]) -> None:
    here = world()
    undo = faults.FreezePatroni().aim(here).undo
    text = here.lines["node-0"][2]
    here.lines["node-0"][2] = text.replace("00:00:00", "09:09:09").replace(" Sl ", " T  ")
    undo.perform(here)
    assert ("node-0", "kill", "-CONT", "1010") not in here.asked


# networks


def test_what_is_dropped_is_what_was_said(world: Callable[..., Any]) -> None:
    here = world()
    peers = cut.rules(here, faults.From.PEERS, "postgres-0")
    assert peers == [
        ("OUTPUT", "-d", "10.244.1.9"),
        ("INPUT", "-s", "10.244.1.9"),
        ("OUTPUT", "-d", "10.244.2.9"),
        ("INPUT", "-s", "10.244.2.9"),
    ]
    api = cut.rules(here, faults.From.API)
    assert ("OUTPUT", "-d", "10.96.0.1", "-p", "tcp", "--dport", "443") in api
    assert ("INPUT", "-s", "172.18.0.2", "-p", "tcp", "--sport", "6443") in api
    assert len(api) == 4


def test_rules_that_drop_nothing_prove_nothing() -> None:
    listing = "Chain X (1 references)\n pkts bytes target\n       0  0 DROP  all -- * *\n"
    assert cut.dropped(listing) == 0
    assert cut.dropped(listing.replace("  0  0 ", " 12 840 ")) == 12
    assert cut.dropped("") == 0


def test_only_our_own_rules_are_taken_away(world: Callable[..., Any]) -> None:
    here = world()
    here.chains["node-0"].append("-A INPUT -s 10.0.0.9 -j ACCEPT")
    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(faults.CutOff())
    nemesis.heal()
    assert here.chains["node-0"][2:] == ["-A INPUT -s 10.0.0.9 -j ACCEPT"]


def test_a_flapping_way_is_closed_and_opened_and_left_open(tmp_path: Path) -> None:
    """The loop as a node's shell runs it, with a stand-in for what changes the rules."""
    log, stand_in = tmp_path / "log", tmp_path / "nsenter"
    stand_in.write_text(f'#!/bin/sh\necho "$*" >> {log}\n')
    stand_in.chmod(0o755)
    rule = "OUTPUT -d 10.96.0.1 -p tcp --dport 443 -j INFRAFORGE-CUT"
    subprocess.run(
        ["sh", "-c", cut._LOOP, "infraforge-flap-x", "2", "1", "0", "/run/netns/a", rule],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=True,
        timeout=20,
    )
    said = log.read_text().splitlines()
    assert said[::2] == [f"--net=/run/netns/a iptables -w 5 -I {rule}"] * (len(said) // 2)
    assert said[1::2] == [f"--net=/run/netns/a iptables -w 5 -D {rule}"] * (len(said) // 2)
    assert len(said) in (4, 6)


def test_a_pod_that_is_gone_took_its_rules_along(
    world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world()
    undo = faults.CutOff().aim(here).undo
    monkeypatch.setattr(cut.Place, "gone", lambda *_: True)
    undo.perform(here)
    assert not [one for one in here.asked if "-D" in one]


# nodes


@pytest.mark.parametrize("serves", [True, False], ids=["by its address", "by the lowest free"])
def test_a_node_comes_back_at_its_former_address(world: Callable[..., Any], serves: bool) -> None:
    here = world()
    here.serves_addresses = serves
    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(faults.CutNodeOff())
    assert here.containers["node-0"].address == ""
    nemesis.heal()
    assert here.containers["node-0"].address == "172.18.0.3"
    connected = [one for one in here.asked if one[1:3] == ("network", "connect")]
    assert all(one[-4:-2] == ("--alias", "other") for one in connected)
    assert connected[0][3:5] == ("--ip", "172.18.0.3")


def test_a_node_that_comes_back_elsewhere_is_told_and_taken_off_again(
    world: Callable[..., Any],
) -> None:
    here = world()
    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(faults.CutNodeOff())
    here.comes_back_at = "172.18.0.9"
    with pytest.raises(Inconclusive, match=r"came back at 172\.18\.0\.9, not 172\.18\.0\.3"):
        nemesis.heal()
    assert here.containers["node-0"].address == ""
    here.comes_back_at = ""
    nemesis.heal()
    assert here.containers["node-0"].address == "172.18.0.3"


# for long


def test_a_member_that_cannot_follow_any_more_is_cloned_anew(
    world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, said = world(), []
    whole = here.look()

    def look() -> Any:
        cloned = any(one[2:3] == ("reinitialize",) for one in here.asked)
        return whole if cloned else dataclasses.replace(whole, asynchronous=())

    @contextlib.contextmanager
    def connect(self: Postgres, site: Any, database: str) -> Iterator[Any]:
        yield SimpleNamespace(execute=lambda _, values: said.append(values))

    aimed = EVERY["member held down for long"].aim(here)
    aimed.strike(here)
    monkeypatch.setattr(here, "look", look)
    monkeypatch.setattr(Postgres, "connect", connect)
    monkeypatch.setattr(member, "_BY_ITSELF", 0.05)
    aimed.undo.perform(here)
    assert said == [("postgres_2",)]
    assert ("postgres-2", "POST", "reinitialize", "{'force': True}") in here.asked
    assert not here.cordoned["node-2"]


def test_one_that_cannot_be_cloned_keeps_the_entry(
    world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world()

    @contextlib.contextmanager
    def connect(self: Postgres, site: Any, database: str) -> Iterator[Any]:
        raise ClusterError("nobody takes writes")
        yield

    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(EVERY["member held down for long"])
    here.whole = False
    monkeypatch.setattr(Postgres, "connect", connect)
    monkeypatch.setattr(member, "_BY_ITSELF", 0.05)
    with pytest.raises(Inconclusive, match="postgres-2 begins to be cloned anew"):
        nemesis.heal()
    assert Journal.of("selftest").read().entries
    assert not here.cordoned["node-2"]


def test_a_member_that_follows_is_not_cloned_anew(world: Callable[..., Any]) -> None:
    here = world()
    nemesis = Nemesis(here, proven_within=0.2)
    nemesis.inject(EVERY["member held down for long"])
    nemesis.heal()
    assert not [one for one in here.asked if "reinitialize" in one]


def test_an_older_journal_says_nothing_of_cloning() -> None:
    before = {"node": "node-2", "members": "3", "within": "60.0"}
    assert faults.Uncordon.restored(before).anew == ""


# several at once


def test_of_several_faults_all_are_aimed_before_one_strikes(world: Callable[..., Any]) -> None:
    here = world()
    aimed = EVERY["two frozen"].aim(here)
    assert [one.freeze.target.pod for one in aimed.aimed] == ["postgres-0", "postgres-1"]
    assert here.tasks == {f"node-{n}": "RUNNING" for n in range(3)}


def test_several_are_put_right_before_the_members_are_waited_for(
    world: Callable[..., Any],
) -> None:
    """Else the first undo would wait for the member that the second is to bring back."""
    here = world()
    undo = EVERY["two frozen"].aim(here).undo
    first, *rest = undo.undos
    assert first == faults.AllStreaming(3, 0.3)
    assert all(one.after == faults.AllStreaming.not_awaited() for one in rest)


def test_one_of_several_that_does_nothing_makes_all_unknown(
    world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world()
    aimed = EVERY["two cut off"].aim(here)
    aimed.aimed[0].strike(here)
    assert aimed.took_effect(here) == ""
    aimed.aimed[1].strike(here)
    assert aimed.took_effect(here).count("packets dropped") == 2
