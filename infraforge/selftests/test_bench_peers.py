"""The peers of `infraforge bench failover`: the platform's settings, no network, nothing left."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infraforge import stack
from infraforge.bench import peer_pair, peer_patroni, peers, rounds
from infraforge.bench.kinds import named
from infraforge.bench.peers import Containers, PeerFaults
from infraforge.checkers.outages import STARVED
from infraforge.components import members, patroni
from infraforge.errors import ClusterError, UsageError
from infraforge.history import HEAL, NEMESIS
from infraforge.processes import Identity
from infraforge.profile import Profile
from infraforge.selftests import local_postgres
from infraforge.selftests.local_postgres import LocalPostgres
from infraforge.selftests.test_postgres_load import postgres  # noqa: F401 - a fixture
from infraforge.starvation import Figures
from infraforge.verdict import Outcome

FOLDER = stack.TREE / "components" / "postgres"
PASSWORDS = {"superuser": "one", "replication": "two", "rewind": "three"}
ENTERPRISE = Profile.load("enterprise", stack.TREE)
CRASH = named("crash")


@pytest.fixture
def settings() -> Any:
    return peers.settings(ENTERPRISE)


# settings


def test_the_peers_settings_are_the_platforms(settings: Any) -> None:
    """Read from the same files, and all that Patroni decides by is the same."""
    read = yaml.safe_load((FOLDER / "overlays" / "replicated" / "replicated.yml").read_text())
    made = peer_patroni.configuration(settings, 1, PASSWORDS)
    assert settings == patroni.settings(ENTERPRISE, FOLDER)
    assert made["bootstrap"] == settings["bootstrap"]
    for name in ("ttl", "loop_wait", "retry_timeout", "synchronous_mode", "primary_start_timeout"):
        assert made["bootstrap"]["dcs"][name] == read["bootstrap"]["dcs"][name]
    assert made["watchdog"] == settings["watchdog"]
    where = {"listen", "connect_address", "data_dir", "authentication", "pg_hba", "parameters"}
    ours, theirs = settings["postgresql"], made["postgresql"]
    assert {name for name in ours | theirs if ours.get(name) != theirs.get(name)} == where
    assert set(made) - set(settings) == {"name", "etcd3"}
    assert set(settings) - set(made) == {"kubernetes", "ctl"}


def test_postgresqls_parameters_are_the_platforms_but_for_where_it_is(settings: Any) -> None:
    own = settings["postgresql"]["parameters"]
    shared = settings["bootstrap"]["dcs"]["postgresql"]["parameters"]
    made = peer_patroni.configuration(settings, 0, PASSWORDS)["postgresql"]["parameters"]
    differ = {name for name in own | made if own.get(name) != made.get(name)}
    assert {name for name in differ if not name.startswith("ssl")} == {"unix_socket_directories"}
    assert not set(made) & set(shared)
    lines = peer_pair.configuration(settings).splitlines()
    told = dict(line.split(" = ", 1) for line in lines)
    wanted = {name: f"'{value}'" for name, value in {**made, **shared}.items()}
    assert told == wanted | {"listen_addresses": "''"}
    assert told["wal_sender_timeout"] == "'5s'"


def test_the_settings_that_the_platform_reads_are_left_alone(settings: Any) -> None:
    before = yaml.safe_dump(settings)
    peer_patroni.configuration(settings, 2, PASSWORDS)
    assert yaml.safe_dump(settings) == before


def test_members_differ_by_name_and_port_on_loopback_alone(settings: Any) -> None:
    made = [peer_patroni.configuration(settings, number, PASSWORDS) for number in range(3)]
    assert [one["name"] for one in made] == members.of(ENTERPRISE)
    places = [one["postgresql"]["listen"] for one in made]
    places += [one["restapi"]["listen"] for one in made] + [one["etcd3"]["host"] for one in made]
    assert len(set(places)) == 7
    assert all(place.startswith("127.0.0.1:") for place in places)
    told = made[0]["postgresql"]["authentication"]
    assert {role: user["password"] for role, user in told.items()} == PASSWORDS
    assert {user["username"] for user in told.values()} == {"postgres", "replicator", "rewinder"}


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_patroni.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"package etcd .*run: pip install -e '\.\[bench\]'"):
        peer_patroni.libraries()


def test_initdb_gets_what_patroni_gives_it(settings: Any) -> None:
    found = [peer_pair._option(item) for item in settings["bootstrap"]["initdb"]]
    assert {"--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"} <= set(found)


# containers


class Docker:
    """Remembers what docker is asked; there: lines of `docker ps`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.there = ""
        self.fails = ""

    def __call__(self, *argv: str) -> str:
        self.asked.append(argv)
        if self.fails and self.fails in argv:
            raise ClusterError(f"docker {self.fails} failed")
        if argv[0] != "ps":
            return ""
        return "id-1\nid-2" if "--quiet" in argv else self.there

    def runs(self) -> list[tuple[str, ...]]:
        return [argv for argv in self.asked if argv[0] == "run"]


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Docker]:
    made = Docker()
    monkeypatch.setattr(peers, "docker", made)
    monkeypatch.setattr(peers.tempfile, "tempdir", str(tmp_path))
    yield made
    assert list(tmp_path.glob("ifb-*")) == []


def test_containers_have_no_network_but_each_others_loopback(docker: Docker) -> None:
    with Containers(["a", "b"]) as own:
        own.start("etcd", "image-1", "etcd")
        own.start("a", "image-2", "x", options=("--init",), entry="sleep")
    first, second = docker.runs()
    assert first[first.index("--network") + 1] == "none"
    name = first[first.index("--name") + 1]
    assert second[second.index("--network") + 1] == f"container:{name}"
    assert second[-5:] == ("--init", "--entrypoint", "sleep", "image-2", "x")
    assert not [word for run in docker.runs() for word in run if word.startswith(("-p", "--publ"))]


def test_containers_and_their_folder_are_gone_whatever_happens(docker: Docker) -> None:
    docker.fails = "image-2"
    with pytest.raises(ClusterError, match="run"), Containers(["a"]) as own:  # noqa: PT012
        own.start("etcd", "image-1", "etcd")
        assert own.folder("a").stat().st_mode & 0o777 == 0o777
        assert own.folder("a").parent.stat().st_mode & 0o077 == 0
        docker.fails = "run"
        own.start("a", "image-2")
    assert docker.asked[-1] == ("rm", "--force", "--volumes", "id-1", "id-2")


def test_only_what_a_dead_run_left_behind_is_removed(docker: Docker, tmp_path: Path) -> None:
    dead = Identity(os.getpid(), 1, Identity.own().boot)  # its number was given to another
    left, foreign = tmp_path / "ifb-left", tmp_path / "home"
    for folder in (left, foreign):
        folder.mkdir()
    docker.there = "\n".join(
        (
            f"{dead.pid}/{dead.started}/{dead.boot} run-dead {left}",
            f"{dead.pid}/{dead.started}/{dead.boot} run-odd {foreign}",
            f"{peers._owner()} run-live {tmp_path}/ifb-live",
        )
    )
    peers.remove_left_behind()
    filters = [argv[-1] for argv in docker.asked if "--quiet" in argv]
    assert sorted(filters) == [f"label=infraforge.bench.run=run-{one}" for one in ("dead", "odd")]
    assert not left.exists()
    assert foreign.exists()


def test_an_owner_that_is_none_is_dead() -> None:
    assert peers._lives(peers._owner())
    for odd in ("", "x", "1/2", "1//", f"{os.getpid()}/x/y"):
        assert not peers._lives(odd), odd


# the fault, and one failover of real servers


def test_a_peers_fault_is_in_the_history_with_its_proof_and_its_end() -> None:
    waited: list[str] = []
    made = PeerFaults(lambda: "postmaster 7 is gone", lambda: waited.append("whole"))
    made.heal()
    assert (waited, len(made.history)) == ([], 0)
    made.inject(CRASH)
    made.heal()
    (call,) = made.history.faults
    assert (call.process, call.ok, call.value) == (NEMESIS, True, "postmaster 7 is gone")
    assert made.history.calls[-1].function == HEAL
    assert waited == ["whole"]


class Local:
    """Servers of this machine that are promoted by hand."""

    name = "local"

    def __init__(self, servers: LocalPostgres) -> None:
        self._postgres = servers

    def load(self) -> AbstractContextManager[rounds.Writers]:
        return peers.load(self._postgres.members)

    def faults(self) -> PeerFaults:
        return PeerFaults(self._strike, lambda: self._postgres.rewind("pg-0", "pg-1"))

    def _strike(self) -> str:
        self._postgres.kill("pg-0")
        self._postgres.promote("pg-1")
        return "pg-0 is gone"


@pytest.mark.skipif(local_postgres.LACKS, reason="needs initdb and postgres, has none")
def test_a_failover_of_real_servers_is_measured_and_judged(
    postgres: LocalPostgres,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the load's own clients and watchers, and final reads of all members."""
    monkeypatch.setattr(rounds, "ELEMENTS", 100)
    short = dataclasses.replace(CRASH, after=40)
    found, verdict, history = rounds.failover(
        Local(postgres), short, 1, lambda since, until: Figures(until - since)
    )
    assert verdict.outcome is Outcome.HOLDS, verdict.explain()
    assert (found.trouble, found.lost, found.starved) == ("", 0, ())
    assert found.seconds is not None
    assert 0 < found.seconds < 30
    assert found.acknowledged >= 100
    assert {call.function for call in history.watched} >= {"role", "route", STARVED}
    assert len([op for op in history.operations if op.process.startswith("final-")]) == 6
