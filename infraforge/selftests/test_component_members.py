"""Several members of PostgreSQL as the harness meets them: whom it takes for primary, and why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from infraforge.components import backend, members, patroni
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError, TimedOut
from infraforge.profile import Profile
from infraforge.selftests.test_overlays import TREE

STANDBYS = [("postgres-0", "sync"), ("postgres-2", "async")]


def pod(name: str, role: str = "", phase: str = "Running") -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, labels={"role": role} if role else None),
        status=SimpleNamespace(phase=phase),
    )


class Session:
    """A session at a member: in recovery or not, and who streams from it."""

    def __init__(self, *, standby: bool) -> None:
        self.standby = standby

    def execute(self, query: str, _parameters: object = ()) -> Any:
        if query == patroni.STREAMS:
            return SimpleNamespace(fetchall=lambda: STANDBYS)
        return SimpleNamespace(fetchone=lambda: (self.standby,))


class World:
    """leading: members that say they take writes; silent: those that do not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, profile: str = "enterprise") -> None:
        self.profile = Profile.load(profile, TREE)
        self.tree, self.core = TREE, self
        self.leading, self.silent = {"postgres-1"}, set[str]()
        self.sync: dict[str, str] | None = {"sync_standby": "postgres-0"}
        self.asked: list[str] = []
        self.told: list[tuple[str, str, str, Any]] = []
        self.pods = [pod("postgres-0"), pod("postgres-1", "primary"), pod("postgres-2")]
        monkeypatch.setattr("infraforge.components.containers.pods", lambda *_, **__: self.pods)
        monkeypatch.setattr(Postgres, "connect_member", self._connect)
        monkeypatch.setattr(Postgres, "patroni", lambda _s, _site, *what: self.told.append(what))

    @contextlib.contextmanager
    def _connect(self, _site: Any, name: str, _database: str = "") -> Iterator[Any]:
        self.asked.append(name)
        if name in self.silent:
            raise ClusterError(f"PostgreSQL lets nobody in: {name}")
        yield Session(standby=name not in self.leading)

    def read_namespaced_config_map(self, name: str, namespace: str) -> Any:
        if self.sync is None:
            raise client.ApiException(status=404, reason="Not Found")
        assert (name, namespace) == ("postgres-sync", "infraforge-data")
        return SimpleNamespace(metadata=SimpleNamespace(annotations=self.sync))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    return World(monkeypatch)


def test_the_primary_is_who_says_so_and_the_label_is_where_to_look_first(world: Any) -> None:
    assert Postgres().primary(world) == "postgres-1"
    assert world.asked == ["postgres-1"]


def test_a_label_that_was_left_behind_misleads_nobody(world: Any) -> None:
    """A primary that was cut off keeps it, and is silent or a standby by now."""
    world.leading = {"postgres-2"}
    assert Postgres().primary(world) == "postgres-2"
    world.silent = {"postgres-1"}
    assert Postgres().primary(world) == "postgres-2"


def test_without_a_primary_each_member_is_told(world: Any) -> None:
    world.leading, world.silent = set(), {"postgres-2"}
    with pytest.raises(ClusterError, match=r"postgres-0 is a standby; postgres-2: PostgreSQL lets"):
        Postgres().primary(world)


def test_pods_that_do_not_run_are_not_asked(world: Any) -> None:
    world.pods[1].status.phase = "Pending"
    world.leading = {"postgres-2"}
    assert Postgres().primary(world) == "postgres-2"
    assert "postgres-1" not in world.asked


def test_who_follows_is_what_postgresql_and_patroni_say_together(world: Any) -> None:
    found = Postgres().look(world)
    assert found == patroni.Members("postgres-1", ("postgres-0",), ("postgres-2",), ("postgres-0",))
    assert found.whole(3)
    world.sync = {"sync_standby": ""}
    assert not Postgres().look(world).whole(3)
    world.sync = None
    with pytest.raises(ClusterError, match="postgres-sync cannot be read"):
        Postgres().look(world)


def test_what_the_files_say_is_put_in_force_and_the_members_waited_for(world: Any) -> None:
    Postgres()._replicate(world)
    [(name, method, path, body)] = world.told
    assert (name, method, path) == ("postgres-1", "PUT", "config")
    assert (body["loop_wait"], body["synchronous_mode"]) == (1, True)
    assert body["postgresql"]["parameters"]["wal_sender_timeout"] == "5s"


def test_members_that_do_not_stream_are_told(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sync = {}
    budgets = SimpleNamespace(component=0.1)
    world.profile = SimpleNamespace(components=world.profile.components, budgets=budgets)
    with pytest.raises(TimedOut, match="all standbys stream, and commits wait for one"):
        Postgres()._replicate(world)


@pytest.mark.parametrize(("profile", "pod_name"), [("minimal", ""), ("enterprise", "postgres-1")])
def test_only_of_several_members_one_leads(
    profile: str, pod_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Postgres().leading_pod(World(monkeypatch, profile)) == pod_name


@pytest.mark.parametrize(
    ("known", "works"),
    [
        ("postgresql://{{username}}:{{password}}@a,b/d?x", True),
        ("postgresql://{{username}}:*****@a,b/d?x", True),
        ("postgresql://{{username}}:{{password}}@a,b,c/d?x", False),
    ],
    ids=["as it is", "masked", "another member"],
)
def test_vault_is_told_anew_where_its_members_are_others(
    known: str, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = {"data": {"connection_details": {"connection_url": known}}}
    engine = SimpleNamespace(read_connection=lambda _: details)
    vault: Any = SimpleNamespace(
        secrets=SimpleNamespace(database=engine),
        sys=SimpleNamespace(revoke_lease=lambda _: None),
    )
    monkeypatch.setattr(backend, "_login", lambda _: backend.DatabaseLogin("u", "p", "lease"))
    url = "postgresql://{{username}}:{{password}}@a,b/d?x"
    assert backend._connection_works(vault, url) is works


def test_names_are_filled_in_only_where_they_are_asked_for() -> None:
    def workload(*variables: dict[str, str]) -> dict[str, Any]:
        box = {"name": "a", "image": "i", "env": list(variables)}
        return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [box]}}}}

    asks = workload({"name": "POSTGRES_HOST", "value": "members"}, {"name": "B", "value": "b"})
    other = workload({"name": "B", "value": "b"})
    filled, kept = members.named_in([asks, other], ["postgres-0", "postgres-1"])
    [container] = filled["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["value"].count(members.DOMAIN) == 2
    assert kept == other
    assert asks["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "members"
