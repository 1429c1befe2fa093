"""Several members of Redis: manifests, users, refused numbers, and whom the harness asks."""

from __future__ import annotations

import contextlib
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis as redis_py
import yaml

from infraforge import components, stack
from infraforge.cluster import manifests
from infraforge.components import redis_members, redis_users, rules
from infraforge.components.base import Trust
from infraforge.components.redis import RedisComponent
from infraforge.components.redis_cache import RedisCache
from infraforge.components.redis_members import GROUPS, Members, Replica, View
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.components.redis_sessions import RedisSessions
from infraforge.errors import ClusterError, TimedOut, UsageError
from infraforge.profile import Profile
from infraforge.selftests.test_overlays import (
    NDOTS,
    SEVERAL,
    TREE,
    change,
    needs_kubectl,
    only,
    rendered,
)

SINGLE = ("minimal", "standard", "minimal-ldap")
STORES = [component for component, _ in GROUPS.values()]
ALL = [*STORES, redis_members.SENTINEL]
CACHE = "redis-cache-internal.infraforge-data.svc.cluster.local"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(TREE, tmp_path / "platform"))


def site(profile: str = "enterprise") -> Any:
    return SimpleNamespace(tree=TREE, profile=Profile.load(profile, TREE))


def settings(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))


# manifests


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
@pytest.mark.parametrize("component", ALL)
def test_no_two_share_a_node_and_one_may_be_drained(
    profile: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = rendered(profile, component, monkeypatch)
    workload = only(objects, "StatefulSet")["spec"]
    spec = workload["template"]["spec"]
    assert workload["replicas"] > 1
    assert workload["minReadySeconds"] >= 5
    [apart] = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = workload["template"]["metadata"]["labels"].items()
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"].items() <= labels
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels
    assert rules.impossible_budgets(objects) == []
    spread = {
        one["topologyKey"]: one["whenUnsatisfiable"]
        for one in spec.get("topologySpreadConstraints", ())
    }
    zoned = spread.get("topology.kubernetes.io/zone")
    assert zoned == ("DoNotSchedule" if profile == "enterprise" else None)
    options = {one["name"]: one["value"] for one in spec["dnsConfig"]["options"]}
    assert options == {"timeout": "1", "attempts": "1"}


@needs_kubectl
@pytest.mark.parametrize(("profile", "tolerates"), [("professional", True), ("enterprise", False)])
def test_with_two_workers_a_sentinel_runs_on_the_control_plane(
    profile: str, tolerates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = only(rendered(profile, redis_members.SENTINEL, monkeypatch), "StatefulSet")["spec"]
    assert bool(spec["template"]["spec"].get("tolerations")) is tolerates
    assert spec["replicas"] == 3


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
@pytest.mark.parametrize("component", ALL)
def test_pods_are_restricted_and_limited_in_all(
    profile: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = only(rendered(profile, component, monkeypatch), "StatefulSet")
    spec = workload["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    names: set[str] = set()
    for container in manifests.containers(workload):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory", "ephemeral-storage"}
        for variable in container["env"]:
            if "PASSWORD" in variable["name"]:
                assert set(variable["valueFrom"]) == {"secretKeyRef"}
            for name in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                assert name in names
            names.add(variable["name"])


@needs_kubectl
def test_a_whole_copy_has_room_on_the_caches_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is over its limit ends the pod."""
    workload = only(rendered("enterprise", "redis-cache", monkeypatch), "StatefulSet")
    spec = workload["spec"]["template"]["spec"]
    sizes = {
        one["name"]: one["emptyDir"]["sizeLimit"] for one in spec["volumes"] if "emptyDir" in one
    }
    memory = re.search(
        r"^maxmemory (\d+)mb", (TREE / "components/redis-cache/redis.conf").read_text(), re.M
    )
    assert memory
    assert int(sizes["tmp"].removesuffix("Mi")) > int(memory[1])
    limit = spec["containers"][0]["resources"]["limits"]["ephemeral-storage"]
    assert int(limit.removesuffix("Mi")) > sum(
        int(size.removesuffix("Mi")) for size in sizes.values()
    )


@needs_kubectl
@pytest.mark.parametrize("store", STORES)
def test_readiness_asks_redis_itself_and_seldom(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open port tells nothing of a server that loads; `-e` fails for what it answers then."""
    workload = only(rendered("enterprise", store, monkeypatch), "StatefulSet")
    container = next(manifests.containers(workload))
    ready, alive = container["readinessProbe"], container["livenessProbe"]
    assert ready["exec"]["command"][-2:] == ["-e", "ping"]
    assert "-e" not in alive["exec"]["command"]
    assert 1 / ready["periodSeconds"] + 1 / alive["periodSeconds"] < 0.12  # 0.3 with one member
    folder = TREE / "components" / store / "overlays" / "replicated"
    assert settings(folder / "replicated.conf")["replica-serve-stale-data"] == "no"


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
@pytest.mark.parametrize("store", STORES)
def test_members_are_told_all_sentinels(
    profile: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = only(rendered(profile, store, monkeypatch), "StatefulSet")
    env = {one["name"]: one for one in next(manifests.containers(workload))["env"]}
    places = env[redis_members.VARIABLE]["value"].split(",")
    assert places == redis_members.places([f"redis-sentinel-{number}" for number in range(3)])
    assert all(place.count(".") >= NDOTS for place in places)
    group, (_, namespace) = next(item for item in GROUPS.items() if item[1][0] == store)
    assert env["GROUP"]["value"] == group
    assert env["DOMAIN"]["value"] == redis_members.domain(store, namespace)


@needs_kubectl
@pytest.mark.parametrize("profile", SINGLE)
def test_a_single_member_is_as_it_was(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Profile.load(profile, TREE)
    assert redis_members.SENTINEL not in loaded.components
    assert redis_members.sentinels(loaded) == []
    for store in STORES:
        objects = rendered(profile, store, monkeypatch)
        container = next(manifests.containers(only(objects, "StatefulSet")))
        assert container["command"] == ["/usr/bin/redis-server"]
        assert container["args"] == ["/etc/redis/redis.conf"]
        assert {one["name"] for one in container["env"]} == {"REDISCLI_AUTH"}
        assert only(objects, "StatefulSet")["spec"]["replicas"] == 1
        assert sum(item["kind"] == "NetworkPolicy" for item in objects) == 1
        config = only(objects, "ConfigMap")["data"] if store == "redis-cache" else {}
        assert set(config) <= {"redis.conf", "users.toml"}
        folder = TREE / "components" / store / "users.toml"
        assert redis_users.rules_of(site(profile), store) == tomllib.loads(folder.read_text())


@needs_kubectl
def test_who_asks_sentinels_may_reach_them_and_they_the_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ends say so: (from, to, port)."""

    def names(peers: list[Any]) -> set[str]:
        return {one["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for one in peers}

    out, into = set(), set()
    for component in (*ALL, "backend", "oauth2-proxy"):
        for item in rendered("enterprise", component, monkeypatch):
            if item["kind"] != "NetworkPolicy":
                continue
            assert item["spec"]["podSelector"]["matchLabels"] == {
                "app.kubernetes.io/name": component
            }
            for rule in item["spec"].get("egress", ()):
                for port in rule["ports"]:
                    out |= {(component, peer, port["port"]) for peer in names(rule["to"])}
            for rule in item["spec"].get("ingress", ()):
                for port in rule["ports"]:
                    into |= {(peer, component, port["port"]) for peer in names(rule["from"])}
    sentinel = redis_members.SENTINEL
    asking = {(one, sentinel, 26379) for one in (*ALL, "backend", "oauth2-proxy")}
    served = {(one, store, 6379) for store in STORES for one in (store, sentinel)}
    served |= {("backend", "redis-cache", 6379), ("oauth2-proxy", "redis-sessions", 6379)}
    wanted = asking | served
    assert {one for one in out if one[1] in ALL} == wanted
    assert {one for one in into if one[1] in ALL} == wanted


# users


@pytest.mark.parametrize("store", STORES)
def test_members_and_sentinels_have_users_of_their_own(store: str) -> None:
    rules_of = redis_users.rules_of(site(), store)
    assert rules_of["replica"].split() == ["+psync", "+replconf", "+ping"]
    sentinel = set(rules_of["sentinel"].split())
    assert {"+slaveof", "+config|rewrite", "+client|kill", "&__sentinel__:hello"} <= sentinel
    assert not any(word.startswith(("~", "%", "+@")) or word == "&*" for word in sentinel)
    assert sentinel.isdisjoint({"+config|set", "+config", "+get", "+acl", "+flushall", "+debug"})


def test_an_overlay_adds_to_what_a_user_may_do() -> None:
    one = redis_users.rules_of(site("minimal"), "redis-cache")["backend"]
    several = redis_users.rules_of(site(), "redis-cache")["backend"]
    assert several == f"{one} +info +role"


def test_of_the_sentinels_users_one_alone_changes_anything() -> None:
    found = redis_users.rules_of(site(), redis_members.SENTINEL)
    assert set(found) == {"client", "member", "sentinel", "observer", "operator", "probe"}
    changing = re.compile(
        r"\+(sentinel\|(failover|set|remove|monitor|reset|flushconfig|config|debug|simulate)|shutdown|acl)"
    )
    for user, rule in found.items():
        words = rule.split()
        assert not any(word in ("+sentinel", "+@all", "allcommands") for word in words)
        assert bool([word for word in words if changing.match(word)]) is (user == "operator")
    client = set(found["client"].split())
    # redis-py asks for the first two, go-redis for the others and for both channels
    assert {"+sentinel|masters", "+sentinel|replicas"} <= client
    assert {"+sentinel|get-master-addr-by-name", "+sentinel|sentinels", "+subscribe"} <= client
    assert {"&+switch-master", "&+replica-reconf-done", "+ping"} <= client


def test_each_group_has_passwords_of_its_own_and_sentinels_know_their_own_alone(
    secrets: Secrets,
) -> None:
    sentinels, cache, sessions = RedisSentinel(), RedisCache(), RedisSessions()
    for component in (sentinels, cache, sessions):
        component.prepare(secrets)
    kept = secrets.kept
    of_cache = kept["redis-cache", "infraforge-data"]
    of_sessions = kept["redis-sessions", "infraforge-access"]
    assert set(of_cache.values()).isdisjoint(of_sessions.values())
    assert kept["redis-sentinel-groups", "infraforge-access"] == {
        "cache": of_cache["sentinel"],
        "sessions": of_sessions["sentinel"],
    }
    member = {"member": kept["redis-sentinel", "infraforge-access"]["member"]}
    assert kept["redis-cache-sentinel", "infraforge-data"] == member
    assert kept["redis-sessions-sentinel", "infraforge-access"] == member
    users = kept["redis-sentinel-acl", "infraforge-access"]["users.acl"]
    assert users.startswith("user default reset ")
    assert member["member"] not in users
    before = dict(kept)
    for component in (cache, sessions, sentinels):
        component.prepare(secrets)
    assert kept == before


def test_a_single_member_has_no_secret_for_sentinels(secrets: Secrets) -> None:
    secrets.profile = Profile.load("minimal", TREE)
    RedisCache().prepare(secrets)
    assert set(secrets.kept) == {
        ("redis-cache", "infraforge-data"),
        ("redis-cache-acl", "infraforge-data"),
    }


def test_certificates_name_every_member_in_full(secrets: Secrets) -> None:
    for component in map(components.load, ALL):
        component.certify(secrets)
        domain = redis_members.domain(component.name, component.namespace)
        assert f"*.{domain}" in secrets.named[component.name]
    assert CACHE in redis_members.domain("redis-cache", "infraforge-data")


def test_sentinels_are_replaced_for_a_certificate_and_for_a_ca() -> None:
    """They have no CONFIG command."""
    assert RedisSentinel.reloads is False
    assert RedisSentinel.trust is Trust.AT_START
    assert [one.port for one in RedisSentinel.listens] == [26379]


class Secrets:
    """A site that keeps Secrets and the names of certificates."""

    def __init__(self) -> None:
        self.tree, self.profile = TREE, Profile.load("enterprise", TREE)
        self.kept: dict[tuple[str, str], dict[str, str]] = {}
        self.named: dict[str, list[str]] = {}

    def secret(self, name: str, namespace: str, make: Any) -> dict[str, str]:
        return self.kept.setdefault((name, namespace), dict(make()))

    def read_secret(self, name: str, namespace: str) -> Any:
        return self.kept.get((name, namespace))

    def write_secret(self, name: str, namespace: str, values: Any) -> None:
        self.kept[name, namespace] = dict(values)

    def certificate(
        self, name: str, _namespace: str, _services: Any, *, extra_names: Any = ()
    ) -> None:
        self.named[name] = list(extra_names)


@pytest.fixture
def secrets() -> Any:
    return Secrets()


# numbers


@pytest.mark.parametrize(
    ("path", "old", "new", "rule"),
    [
        (
            "components/redis-sentinel/sentinel.conf",
            "svc.cluster.local 6379 2\nsentinel auth-user cache",
            "svc.cluster.local 6379 4\nsentinel auth-user cache",
            r"quorum 4 of cache is more than the 3 sentinels \(the rule: quorum <= sentinels\)",
        ),
        (
            "components/redis-sentinel/sentinel.conf",
            "down-after-milliseconds cache 5000",
            "down-after-milliseconds cache 4900",
            r"cache has another master after 4\.9 s, and the first one takes writes for 5 s",
        ),
        (
            "components/redis-sentinel/sentinel.conf",
            "down-after-milliseconds sessions 3000",
            "down-after-milliseconds sessions 2000",
            r"the rule: down-after >= min-replicas-max-lag 1 s \+ 2 s",
        ),
        (
            "components/redis-sessions/overlays/replicated/replicated.conf",
            "min-replicas-max-lag 1\n",
            "",
            r"takes writes for 12 s",  # Redis' own is 10
        ),
        (
            "components/redis-cache/overlays/replicated/replicated.conf",
            "min-replicas-to-write 1",
            "min-replicas-to-write 3",
            r"there are 3 members in all \(the rule: replicas >= 1 \+ min-replicas-to-write\)",
        ),
        (
            "profiles/enterprise.toml",
            '[components.redis-sentinel]\nreplicas = 3\noverlays = ["zones"]',
            '[components.redis-sentinel]\nreplicas = 4\noverlays = ["zones"]',
            r"4 members must not share a node, and there are 3 nodes",
        ),
    ],
)
def test_impossible_numbers_are_refused_with_the_rule(
    tree: Path, path: str, old: str, new: str, rule: str
) -> None:
    change(tree / path, old, new)
    with pytest.raises(UsageError, match=rule) as told:
        stack.deployable("enterprise", tree)
    assert "component redis-sentinel" in str(told.value)


def test_without_a_number_of_replicas_two_writable_masters_are_nobodys_promise(
    tree: Path,
) -> None:
    """Who asks for no replica at all asked for no protection: there is no inequality to keep."""
    path = tree / "components/redis-cache/overlays/replicated/replicated.conf"
    change(path, "min-replicas-to-write 1", "min-replicas-to-write 0")
    change(
        tree / "components/redis-sentinel/sentinel.conf",
        "down-after-milliseconds cache 5000",
        "down-after-milliseconds cache 200",
    )
    stack.deployable("enterprise", tree)


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ("replicas = 2", r"2 servers, none of them a replica"),
        ('replicas = 2\noverlays = ["replicated"]', r"needs components\.redis-sentinel"),
    ],
)
def test_several_servers_are_one_group_or_refused(tree: Path, lines: str, rule: str) -> None:
    (tree / "profiles" / "own.toml").write_text(
        f'extends = "standard"\n[cluster]\nworkers = 2\n[components.redis-cache]\n{lines}\n'
    )
    with pytest.raises(UsageError, match=rule):
        stack.deployable("own", tree)


def test_the_control_plane_counts_for_those_that_tolerate_it(tree: Path) -> None:
    change(tree / "profiles/professional.toml", 'overlays = ["control-plane"]', "overlays = []")
    with pytest.raises(UsageError, match="3 members must not share a node, and there are 2 nodes"):
        stack.deployable("professional", tree)


def test_every_number_is_explained_above_it() -> None:
    files = [TREE / "components/redis-sentinel/sentinel.conf"]
    files += [TREE / f"components/{store}/overlays/replicated/replicated.conf" for store in STORES]
    explained = re.compile(
        r"(sentinel (down-after|failover-timeout|parallel-syncs)|min-replicas-to-write"
        r"|replica-serve-stale-data|repl-timeout|repl-backlog-size|shutdown-timeout)"
    )
    for path in files:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if explained.match(line) and not line.endswith("parallel-syncs sessions 2"):
                assert lines[number - 1].startswith("#"), f"{path.name}: {line}"


def test_both_groups_are_watched_where_they_are() -> None:
    text = (TREE / "components/redis-sentinel/sentinel.conf").read_text()
    found = {
        group: (host, port, quorum)
        for group, host, port, quorum in re.findall(
            r"^sentinel monitor (\S+) (\S+) (\d+) (\d+)$", text, re.MULTILINE
        )
    }
    assert found == {
        group: (redis_members.full_name(component, namespace, f"{component}-0"), "6379", "2")
        for group, (component, namespace) in GROUPS.items()
    }


# what they say


def view(number: int, master: str = "redis-cache-1", **more: Any) -> View:
    told: dict[str, Any] = {"epoch": 3, "flags": frozenset({"master"}), "sentinels": 3}
    return View(f"redis-sentinel-{number}", master, **{**told, "replicas": 2, **more})


def test_a_sentinels_answer_is_read_as_a_list_and_as_a_mapping() -> None:
    words = {
        "name": "cache",
        "ip": f"redis-cache-1.{CACHE}",
        "flags": "s_down,master",
        "num-slaves": "2",
        "num-other-sentinels": "1",
        "config-epoch": "3",
    }
    as_bytes = [word.encode() for pair in words.items() for word in pair]
    expected = view(0, flags=frozenset({"s_down", "master"}), sentinels=2)
    assert View.told("redis-sentinel-0", as_bytes) == expected
    assert View.told("redis-sentinel-0", words) == expected


def test_a_group_is_whole_only_if_nobody_is_missing_and_nobody_is_a_ghost() -> None:
    replicas = tuple(Replica(f"redis-cache-{n}", "redis-cache-1", True, 0) for n in (0, 2))
    views = tuple(view(number) for number in range(3))
    assert Members("redis-cache-1", replicas, views).whole(3, 3)
    assert not Members("redis-cache-1", replicas[:1], views).whole(3, 3)
    assert not Members("redis-cache-1", replicas, views[:2]).whole(3, 3)
    for odd in (
        view(2, "redis-cache-0"),
        view(2, sentinels=4),
        view(2, replicas=3),
        view(2, flags=frozenset({"master", "s_down"})),
    ):
        assert not Members("redis-cache-1", replicas, (*views[:2], odd)).whole(3, 3)
    for of, linked, lag in (
        ("redis-cache-0", True, 0),
        ("redis-cache-1", False, 0),
        ("redis-cache-1", True, None),
    ):
        odd_one = Replica("redis-cache-2", of, linked, lag)
        assert not Members("redis-cache-1", (replicas[0], odd_one), views).whole(3, 3)


class World:
    """masters: members that call themselves that; silent: pods that do not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, profile: str = "enterprise") -> None:
        self.tree = TREE
        self.profile: Any = Profile.load(profile, TREE)
        self.masters, self.silent = {"redis-cache-1"}, set[str]()
        self.views: list[View] = [view(number) for number in range(3)]
        self.ways: list[tuple[str, str]] = []
        self.set: list[Any] = []
        self.phase = "Running"
        monkeypatch.setattr("infraforge.components.containers.pods", self._pods)
        monkeypatch.setattr(RedisComponent, "connected", self._connected)
        monkeypatch.setattr(RedisSentinel, "views", lambda *_: tuple(self.views))

    def _pods(self, _site: Any, component: str, **_: Any) -> list[Any]:
        return [
            SimpleNamespace(
                metadata=SimpleNamespace(name=pod), status=SimpleNamespace(phase=self.phase)
            )
            for pod in redis_members.of(self.profile, component)
        ]

    @contextlib.contextmanager
    def _connected(self, _site: Any, target: str, user: str, *_: Any) -> Iterator[Any]:
        self.ways.append((target, user))
        pod = target.removeprefix("pod/")
        if pod in self.silent:
            raise redis_py.TimeoutError(f"Timeout reading from {pod}")
        yield SimpleNamespace(info=lambda _: self._info(pod), config_set=self._config_set(target))

    def _config_set(self, target: str) -> Any:
        return lambda *_: self.set.append(target)

    def _info(self, pod: str) -> dict[str, Any]:
        if pod in self.masters:
            others = [
                f"redis-cache-{n}" for n in range(3) if f"redis-cache-{n}" not in self.masters
            ]
            return {"role": "master"} | {
                f"slave{n}": {"ip": f"{other}.{CACHE}", "state": "online", "lag": n}
                for n, other in enumerate(others)
                if other not in self.silent
            }
        [master, *_] = sorted(self.masters) or ["redis-cache-9"]
        return {
            "role": "slave",
            "master_host": f"{master}.{CACHE}",
            "master_link_status": "down" if master in self.silent else "up",
        }


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    return World(monkeypatch)


def test_the_way_in_is_the_masters_and_not_the_services(world: Any) -> None:
    with RedisCache().connect(world):
        assert world.ways[-1] == ("pod/redis-cache-1", "observer")
    with RedisCache().connect(world, "backend", "pod/redis-cache-2"):
        assert world.ways[-1] == ("pod/redis-cache-2", "backend")
    with RedisCache().connect_member(world, "redis-cache-0"):
        assert world.ways[-1] == ("pod/redis-cache-0", "observer")
    assert not any(target.startswith("svc/") for target, _ in world.ways)


def test_a_single_member_is_reached_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    world: Any = World(monkeypatch, "minimal")
    with RedisCache().connect(world):
        assert world.ways == [("svc/redis-cache", "observer")]
    assert RedisCache().leading_pod(world) == ""
    RedisCache().configure(world)
    assert world.ways == [("svc/redis-cache", "observer")]


def test_of_two_that_call_themselves_master_it_is_the_one_the_sentinels_name(world: Any) -> None:
    """One was cut off, and one sentinel with it."""
    world.masters = {"redis-cache-0", "redis-cache-1"}
    world.views[0] = view(0, "redis-cache-0", epoch=2)
    assert RedisCache().master(world) == "redis-cache-1"
    world.views = []
    with pytest.raises(
        ClusterError, match=r"is master alone: redis-cache-0 is a master.*no sentin"
    ):
        RedisCache().master(world)


def test_without_a_master_each_member_is_told(world: Any) -> None:
    world.silent = {"redis-cache-1"}
    with pytest.raises(ClusterError, match=r"redis-cache-1: Timeout reading from.*2 is a slave"):
        RedisCache().master(world)
    world.silent = set()
    assert RedisCache().leading_pod(world) == "redis-cache-1"


def test_a_look_tells_links_lags_and_sentinels(world: Any) -> None:
    found = RedisCache().look(world)
    assert found.master == "redis-cache-1"
    assert found.replicas == (
        Replica("redis-cache-0", "redis-cache-1", True, 0),
        Replica("redis-cache-2", "redis-cache-1", True, 1),
    )
    assert found.whole(3, 3)
    world.silent = {"redis-cache-2"}
    assert RedisCache().look(world).linked == ("redis-cache-0",)


def test_a_certificate_is_loaded_by_every_member(world: Any) -> None:
    RedisCache().reload(world)
    assert world.set == [f"pod/redis-cache-{number}" for number in range(3)]
    assert {user for _, user in world.ways} == {"renewer"}


def test_replicas_that_do_not_follow_are_told(world: Any) -> None:
    RedisCache().configure(world)
    world.silent = {"redis-cache-2"}
    budgets = SimpleNamespace(component=0.1)
    world.profile = SimpleNamespace(components=world.profile.components, budgets=budgets)
    with pytest.raises(TimedOut, match="all replicas of redis-cache follow its master"):
        RedisCache().configure(world)


def test_sentinels_that_disagree_are_told(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sessions = [view(number, "redis-sessions-1") for number in range(3)]
    cache = world.views

    def views(_self: Any, _site: Any, group: str) -> tuple[View, ...]:
        return tuple(cache if group == "cache" else with_sessions)

    monkeypatch.setattr(RedisSentinel, "views", views)
    RedisSentinel().configure(world)
    cache[2] = view(2, "redis-cache-0", epoch=1)
    budgets = SimpleNamespace(component=0.1)
    world.profile = SimpleNamespace(components=world.profile.components, budgets=budgets)
    with pytest.raises(TimedOut, match=r"redis-sentinel-2: redis-cache-0 \(master; epoch 1"):
        RedisSentinel().configure(world)


@pytest.mark.parametrize("store", STORES)
def test_the_documents_of_an_overlay_name_their_component_in_full(store: str) -> None:
    """What an overlay adds gets neither namespace nor labels from the folder it is put over."""
    folder = TREE / "components" / store
    namespace = yaml.safe_load((folder / "kustomization.yaml").read_text())["namespace"]
    for name in ("disruption.yaml", "networkpolicy.yaml"):
        for item in yaml.safe_load_all((folder / "overlays/replicated" / name).read_text()):
            assert item["metadata"]["namespace"] == namespace
            assert item["metadata"]["labels"]["app.kubernetes.io/name"] == store
