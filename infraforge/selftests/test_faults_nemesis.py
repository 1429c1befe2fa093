"""The nemesis and its journal, with faults in memory: each is undone, whichever process dies."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from infraforge import faults
from infraforge.checkers import fault_took_effect
from infraforge.cluster import state
from infraforge.errors import ClusterError, Inconclusive, TimedOut
from infraforge.faults.journal import Entry, Journal
from infraforge.faults.nemesis import JournalDamaged, Nemesis, heal
from infraforge.history import Kind
from infraforge.processes import Identity
from infraforge.selftests.fake_members import UNDOS_OF_MEMBERS
from infraforge.selftests.fake_servers import UNDOS_OF_SERVERS
from infraforge.verdict import Outcome
from infraforge.wait import wait_until

CLUSTER = "selftest"


class World(SimpleNamespace):
    """What faults break. broken: names, the latest last; mended: the order in which they ended."""

    def __init__(self) -> None:
        super().__init__(cluster=SimpleNamespace(name=CLUSTER))
        self.broken: list[str] = []
        self.mended: list[str] = []
        self.stubborn: dict[str, Exception] = {}


@dataclass(frozen=True)
class Mend:
    kind: ClassVar[str] = "mend"
    name: str

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"name": self.name}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Mend:
        return cls(parameters["name"])

    def perform(self, site: Any) -> None:
        if self.name in site.stubborn:
            raise site.stubborn[self.name]
        site.broken = [name for name in site.broken if name != self.name]
        site.mended.append(self.name)


@dataclass(frozen=True)
class Break:
    """A fault whose `strike` does `during` and then breaks the thing, if it `bites`."""

    name: str
    bites: bool = True
    during: Any = None

    lasting: ClassVar[bool] = True

    def describe(self) -> str:
        return f"break {self.name}"

    def aim(self, site: Any) -> Break:
        return self

    @property
    def undo(self) -> Mend:
        return Mend(self.name)

    def strike(self, site: Any) -> None:
        if self.during:
            self.during()
        if self.bites:
            site.broken.append(self.name)

    def took_effect(self, site: Any) -> str:
        return f"{self.name} is broken" if self.name in site.broken else ""


UNDOS = {Mend.kind: Mend}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def nemesis(world: World) -> Nemesis:
    return Nemesis(world, undos=UNDOS, proven_within=0.1)  # type: ignore[arg-type]


def journal() -> Journal:
    return Journal.of(CLUSTER)


def in_journal() -> list[str]:
    return [entry.fault for entry in journal().read().entries]


def test_undo_is_on_disk_before_the_fault_strikes(nemesis: Nemesis) -> None:
    seen = []
    nemesis.inject(Break("disk", during=lambda: seen.append(in_journal())))
    assert seen == [["break disk"]]


def test_faults_are_undone_in_reverse_order(nemesis: Nemesis, world: World) -> None:
    for name in ("one", "two", "three"):
        nemesis.inject(Break(name))
    assert nemesis.heal() == ("break three", "break two", "break one")
    assert world.mended == ["three", "two", "one"]
    assert in_journal() == []


def test_a_change_declared_by_a_test_is_undone_even_after_its_death(
    nemesis: Nemesis, world: World
) -> None:
    nemesis.owe(Mend("one"), "scale one")
    assert in_journal() == ["scale one"]
    world.broken.append("one")
    assert heal(world, UNDOS) == ("scale one",)  # type: ignore[arg-type]
    nemesis.owe(Mend("two"), "scale two")
    assert nemesis.heal() == ("scale two", "scale one")
    assert (world.broken, in_journal()) == ([], [])


def test_healing_again_does_nothing(nemesis: Nemesis, world: World) -> None:
    nemesis.inject(Break("one"))
    nemesis.heal()
    assert nemesis.heal() == ()
    assert heal(world, UNDOS) == ()  # type: ignore[arg-type]
    assert world.mended == ["one"]


def test_a_proven_fault_is_an_ok_operation_and_so_is_its_end(nemesis: Nemesis) -> None:
    proof = nemesis.inject(Break("one"))
    nemesis.heal()
    assert proof == "one is broken"
    told = [(call.function, call.outcome, call.value) for call in nemesis.history.calls]
    assert told == [
        ("break one", Kind.OK, "one is broken"),
        ("heal", Kind.OK, ("break one",)),
    ]
    assert fault_took_effect(nemesis.history).outcome is Outcome.HOLDS


def test_a_fault_without_effect_is_reported_and_undone(nemesis: Nemesis, world: World) -> None:
    with pytest.raises(TimedOut, match="break one took effect"):
        nemesis.inject(Break("one", bites=False))
    assert fault_took_effect(nemesis.history).outcome is Outcome.UNKNOWN
    assert nemesis.heal() == ("break one",)
    assert world.mended == ["one"]


def test_a_fault_that_fails_to_strike_is_undone(nemesis: Nemesis, world: World) -> None:
    def fails() -> None:
        world.broken.append("one")  # half of it
        raise ClusterError("cut off in the middle")

    with pytest.raises(ClusterError, match="cut off"):
        nemesis.inject(Break("one", during=fails))
    nemesis.heal()
    assert (world.broken, world.mended) == ([], ["one"])


def test_a_lasting_fault_that_ended_by_itself_is_reported(nemesis: Nemesis, world: World) -> None:
    nemesis.inject(Break("one"))
    world.broken.clear()
    with pytest.raises(Inconclusive, match="ended before it was undone: break one"):
        nemesis.heal()
    assert in_journal() == []
    assert nemesis.heal() == ()  # told once


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ClusterError("cannot be mended"), "break two: cannot be mended"),
        (KeyError("spec"), "break two: KeyError: 'spec'"),
        (ConnectionResetError(104, "reset"), "break two: ConnectionResetError"),
        (AttributeError("None has no status"), "break two: AttributeError"),
        (AssertionError(), "break two: AssertionError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_that_cannot_be_undone_stays_and_blocks_no_other(
    nemesis: Nemesis, world: World, error: Exception, told: str
) -> None:
    """Each undo is tried, whatever the one before ran into."""
    for name in ("one", "two", "three"):
        nemesis.inject(Break(name))
    world.stubborn["two"] = error
    with pytest.raises(Inconclusive, match=f"infraforge heal.*{told}"):
        nemesis.heal()
    assert world.mended == ["three", "one"]
    assert in_journal() == ["break two"]
    world.stubborn.clear()
    assert nemesis.heal() == ("break two",)
    assert in_journal() == []


@pytest.mark.parametrize("after_the_fault", [False, True], ids=["before", "after"])
def test_another_process_undoes_what_a_killed_one_left(world: World, after_the_fault: bool) -> None:
    """kill -9 between the journal and the fault, and right after the fault."""

    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        nemesis = Nemesis(world, undos=UNDOS)  # type: ignore[arg-type]
        nemesis.inject(Break("one"))
        nemesis.inject(Break("two", during=None if after_the_fault else dies))
        dies()
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert in_journal() == ["break one", "break two"]
    assert heal(world, UNDOS) == ("break two", "break one")  # type: ignore[arg-type]
    assert world.mended == ["two", "one"]
    assert in_journal() == []


def test_a_nemesis_undoes_only_its_own(nemesis: Nemesis, world: World) -> None:
    other = Nemesis(world, undos=UNDOS)  # type: ignore[arg-type]
    other.inject(Break("theirs"))
    nemesis.inject(Break("mine"))
    assert nemesis.heal() == ("break mine",)
    assert in_journal() == ["break theirs"]


def test_all_failures_are_reported(nemesis: Nemesis, world: World) -> None:
    for name in ("one", "two", "three", "four"):
        nemesis.inject(Break(name))
    world.stubborn = {"one": KeyError("x"), "three": OSError("disk")}
    world.broken.remove("four")
    with pytest.raises(Inconclusive) as told:
        nemesis.heal()
    for part in ("break three: OSError: disk", "break one: KeyError", "ended before.*break four"):
        assert re.search(part, str(told.value)), part
    assert in_journal() == ["break one", "break three"]
    with pytest.raises(Inconclusive, match="break three: OSError: disk; break one: KeyError"):
        heal(world, UNDOS)  # type: ignore[arg-type]


def test_a_failing_proof_does_not_prevent_any_undo(
    nemesis: Nemesis, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        nemesis.inject(Break(name))
    monkeypatch.setattr(Break, "took_effect", lambda *_: 1 / 0)
    with pytest.raises(Inconclusive, match="ended before it was undone"):
        nemesis.heal()
    assert world.mended == ["two", "one"]


def test_an_entry_names_its_owner(nemesis: Nemesis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_RUN", "20260101T000000Z-abcdef")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "suites/x.py::test_a b (call)")
    nemesis.inject(Break("one"))
    (entry,) = journal().read().entries
    assert entry.owner.process == Identity.own()
    assert entry.owner.lives
    assert (entry.owner.run, entry.owner.test) == (
        "20260101T000000Z-abcdef",
        "suites/x.py::test_a b",
    )
    assert str(entry.owner) == f"process {os.getpid()} in suites/x.py::test_a b"


def test_an_owner_that_ended_does_not_live_even_where_its_number_is_in_use() -> None:
    child = os.fork()
    if child == 0:
        journal().add(Entry("mend", {"name": "one"}, "break one"))
        os._exit(0)
    wait_until(in_journal, within=10)
    (entry,) = journal().read().entries
    wait_until(lambda: not entry.owner.lives, within=10)  # not yet waited for: a zombie
    os.waitpid(child, 0)
    assert not entry.owner.lives
    own = Identity.own()
    assert not dataclasses.replace(own, started=own.started + 1).lives
    assert not dataclasses.replace(own, boot="another boot").lives


def test_an_entry_of_an_older_version_has_no_owner_and_is_undone(world: World) -> None:
    journal().path.parent.mkdir(parents=True)
    old = {"kind": "mend", "parameters": {"name": "one"}, "fault": "break one", "entry_id": "1"}
    journal().path.write_text(json.dumps(old) + "\n")
    (entry,) = journal().read().entries
    assert not entry.owner.lives
    assert heal(world, UNDOS) == ("break one",)  # type: ignore[arg-type]


def test_entries_not_chosen_stay_in_the_journal(nemesis: Nemesis, world: World) -> None:
    for name in ("one", "two"):
        nemesis.inject(Break(name))
    undone = heal(world, UNDOS, which=lambda entry: entry.fault == "break one")  # type: ignore[arg-type]
    assert undone == ("break one",)
    assert in_journal() == ["break two"]


def test_a_journal_that_is_gone_with_its_cluster_is_not_made_again(nemesis: Nemesis) -> None:
    nemesis.inject(Break("one"))
    shutil.rmtree(state.cluster_dir(CLUSTER))
    assert nemesis.heal() == ("break one",)
    assert state.names() == []


def test_a_torn_last_line_is_reported_and_the_rest_undone(nemesis: Nemesis, world: World) -> None:
    nemesis.inject(Break("one"))
    with journal().path.open("a") as file:
        file.write('{"kind": "mend", "param')
    with pytest.warns(JournalDamaged, match="is not an entry and was skipped"):
        assert heal(world, UNDOS) == ("break one",)  # type: ignore[arg-type]
    assert not journal().path.exists()


def test_a_lone_torn_line_is_reported_and_cleared(world: World) -> None:
    journal().path.parent.mkdir(parents=True)
    journal().path.write_text('{"kind"')
    with pytest.warns(JournalDamaged):
        assert heal(world, UNDOS) == ()  # type: ignore[arg-type]
    assert not journal().path.exists()


def test_an_entry_after_a_torn_line_stands_on_a_line_of_its_own(nemesis: Nemesis) -> None:
    journal().path.parent.mkdir(parents=True)
    journal().path.write_text('{"kind"')
    nemesis.inject(Break("one"))
    contents = journal().read()
    assert [entry.fault for entry in contents.entries] == ["break one"]
    assert contents.unreadable == ('{"kind"',)


@pytest.mark.parametrize(
    "line",
    ["[]", "7", "null", '{"kind": "mend"}', '{"kind": "mend", "parameters": [], "entry_id": "1"}'],
)
def test_json_that_is_not_an_entry_is_unreadable(line: str) -> None:
    journal().path.parent.mkdir(parents=True)
    journal().path.write_text(line + "\n")
    assert journal().read().unreadable == (line,)


@pytest.mark.parametrize(
    "entry",
    [Entry("unheard-of", {}, "a fault of a newer version"), Entry("mend", {}, "without a name")],
    ids=["unknown kind", "parameter missing"],
)
def test_an_undo_that_cannot_be_restored_stays(world: World, entry: Entry) -> None:
    journal().add(entry)
    with pytest.raises(Inconclusive, match=f"{entry.fault}: the journal's entry of kind"):
        heal(world, UNDOS)  # type: ignore[arg-type]
    assert in_journal() == [entry.fault]


def test_the_journal_is_among_the_clusters_files_and_holds_plain_strings() -> None:
    journal().add(Entry("mend", {"name": "one"}, "break one"))
    path = state.cluster_dir(CLUSTER) / "undo.jsonl"
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["parameters"] == {"name": "one"}


def test_every_kind_of_undo_is_tried_below() -> None:
    assert set(faults.UNDOS) - UNDOS_OF_MEMBERS - UNDOS_OF_SERVERS == {
        "resume", "back-to-strength", "empty", "good-certificate", "lead-back", "load-removed",
        "renew-certificate", "rescale", "restore-logins", "signed-in-anew", "started", "unmask",
        "writable",
    }  # fmt: skip


@pytest.mark.parametrize(
    "undo",
    [
        faults.Resume("node-1", "abc"),
        faults.Empty("infraforge-access", "login-1", "u1", "login", "/tmp"),  # noqa: S108
        faults.Started(300.0, ("abc", "def")),
        faults.BackToStrength("vault", 1, 180.0),
        faults.RestoreLogins({"v-backend-1": "2026-01-01T00:00:00+00:00"}),
        faults.LoadRemoved(),
        faults.LeadBack({"app.kubernetes.io/name": "postgres", "role": "primary"}),
        faults.RenewCertificate("frontend"),
        faults.GoodCertificate("redis-cache"),
        faults.Rescale("vault", "StatefulSet", "infraforge-security", 1, 180.0),
        faults.SignedInAnew(frozenset({"a", "b"}), faults.BackToStrength("backend", 1, 180.0)),
        faults.Thaw(),
        faults.Unmask({"app.kubernetes.io/name": "postgres", "role": "primary"}),
    ],
    ids=lambda undo: undo.kind,
)
def test_every_undo_survives_the_journal(undo: Any) -> None:
    journal().add(Entry(undo.kind, undo.parameters, "some fault"))
    (entry,) = journal().read().entries
    assert faults.UNDOS[entry.kind].restored(entry.parameters) == undo
