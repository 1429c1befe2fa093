"""Overlays, as a profile chooses them: what comes out, and that impossible numbers are refused.

What kustomize makes of them is tried where a kubectl is on this machine.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from infraforge import stack
from infraforge.cluster import manifests, overlays
from infraforge.components import members, patroni, rules
from infraforge.components import rendered as rendering
from infraforge.errors import UsageError
from infraforge.profile import Profile

TREE = Path(__file__).parents[2] / "platform"
REPLICATED = "components/postgres/overlays/replicated"
NDOTS = 5
"""What kubelets write into pods' resolv.conf."""
SEVERAL = ("professional", "enterprise")
KUBECTL = shutil.which("kubectl") or ""
needs_kubectl = pytest.mark.skipif(not KUBECTL, reason="no kubectl on this machine")


class AnyDigest(dict[str, str]):
    def get(self, key: str, default: Any = None) -> str:
        return f"sha256:{'0' * 64}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(TREE, tmp_path / "platform"))


def rendered(
    profile: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> list[manifests.Object]:
    monkeypatch.setattr(rendering.tools, "kubectl", lambda _: Path(KUBECTL))
    images = rendering.Images(AnyDigest())
    return rendering.rendered(
        component, Profile.load(profile, TREE), TREE, images, ["172.18.0.0/16"]
    )


def only(objects: list[manifests.Object], kind: str) -> manifests.Object:
    (found,) = (item for item in objects if item["kind"] == kind)
    return found


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# what kustomize makes of them


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
def test_members_share_no_node_and_may_be_drained_one_at_a_time(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = rendered(profile, "postgres", monkeypatch)
    workload = only(objects, "StatefulSet")["spec"]
    assert workload["replicas"] == len(members.of(Profile.load(profile, TREE))) > 1
    [apart] = workload["template"]["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    labels = workload["template"]["metadata"]["labels"].items()
    assert apart["labelSelector"]["matchLabels"].items() <= labels
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels
    assert rules.impossible_budgets(objects) == []


@needs_kubectl
def test_zones_are_spread_over_in_enterprise_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for profile in SEVERAL:
        workload = only(rendered(profile, "postgres", monkeypatch), "StatefulSet")
        found[profile] = {
            one["topologyKey"]: one["whenUnsatisfiable"]
            for one in workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        }
    assert found["professional"] == {"kubernetes.io/hostname": "ScheduleAnyway"}
    assert found["enterprise"]["topology.kubernetes.io/zone"] == "DoNotSchedule"


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
@pytest.mark.parametrize("component", ["postgres", "backend", "worker", "vault", "oauth2-proxy"])
def test_a_variable_stands_before_what_refers_to_it(
    profile: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the kubelet hands on `$(NAME)` as it stands; a merged list has another order."""
    for item in rendered(profile, component, monkeypatch):
        for container in manifests.containers(item):
            known: set[str] = set()
            for variable in container.get("env", ()):
                for name in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                    assert name in known, f"{variable['name']} refers to {name}"
                known.add(variable["name"])


@needs_kubectl
@pytest.mark.parametrize("profile", SEVERAL)
@pytest.mark.parametrize("component", ["backend", "worker"])
def test_clients_are_told_every_member(
    profile: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = only(rendered(profile, component, monkeypatch), "Deployment")
    [container] = manifests.containers(workload)
    told = {one["name"]: one.get("value") for one in container["env"]}[members.VARIABLE]
    expected = members.hosts(members.of(Profile.load(profile, TREE)))
    assert told == ",".join(expected)
    # as many dots as make a resolver ask for the name itself first, by a pod's default; with fewer
    # asked for, `vault.infraforge-security.svc` would be, too, and nobody knows that one
    assert all(host.count(".") >= NDOTS for host in expected)
    options = workload["spec"]["template"]["spec"]["dnsConfig"]["options"]
    assert {one["name"]: one["value"] for one in options} == {"timeout": "1", "attempts": "2"}


@needs_kubectl
@pytest.mark.parametrize("profile", ["minimal", "standard"])
def test_a_single_member_is_as_it_was(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Profile.load(profile, TREE)
    for component in ("postgres", "backend", "vault"):
        assert not loaded.components[component].get("overlays")
        objects = rendered(profile, component, monkeypatch)
        assert {item["kind"] for item in objects}.isdisjoint({"PodDisruptionBudget"})
    workload = only(rendered(profile, "postgres", monkeypatch), "StatefulSet")
    assert workload["spec"]["replicas"] == 1
    assert next(manifests.containers(workload))["args"] == ["/etc/patroni/patroni.yml"]


@needs_kubectl
def test_overlays_are_put_over_each_other_in_order(tree: Path) -> None:
    for name, value in (("first", "1"), ("second", "2")):
        folder = tree / "components" / "postgres" / "overlays" / name
        folder.mkdir()
        patch = [{"op": "add", "path": "/metadata/annotations", "value": {"last": value}}]
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "patches": [
                {
                    "target": {"kind": "StatefulSet", "name": "postgres"},
                    "patch": yaml.safe_dump(patch),
                }
            ],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    for order in (["first", "second"], ["second", "first"]):
        objects = overlays.render(Path(KUBECTL), tree / "components" / "postgres", order)
        last = only(objects, "StatefulSet")["metadata"]["annotations"]["last"]
        assert last == {"first": "1", "second": "2"}[order[-1]]


@needs_kubectl
def test_a_broken_overlay_is_named_and_no_temporary_folder_is(tree: Path) -> None:
    path = tree / REPLICATED / "kustomization.yaml"
    path.write_text(path.read_text().replace("disruption.yaml", "nothing.yaml"))
    with pytest.raises(UsageError, match=r"nothing\.yaml") as told:
        overlays.render(Path(KUBECTL), tree / "components" / "postgres", ["replicated"])
    assert str(told.value).startswith(f"{tree}/components/postgres with replicated over it")


# what is refused


@pytest.mark.parametrize("name", ["minimal", "standard", *SEVERAL])
def test_the_profiles_own_numbers_work(name: str) -> None:
    rules.check(Profile.load(name, TREE), TREE)


@pytest.mark.parametrize(
    ("path", "old", "new", "rule"),
    [
        (
            f"{REPLICATED}/replicated.yml",
            "retry_timeout: 8",
            "retry_timeout: 10",
            r"loop_wait 1 \+ 2 \* retry_timeout 10 = 21 is more than ttl 20",
        ),
        (
            f"{REPLICATED}/statefulset.yaml",
            "failureThreshold: 3",
            "failureThreshold: 5",
            r"killed after up to 19 s, and its lock may end after 19 s",
        ),
        (
            f"{REPLICATED}/statefulset.yaml",
            "            terminationGracePeriodSeconds: 1\n",
            "",
            r"killed after up to 42 s",
        ),
        (
            f"{REPLICATED}/replicated.yml",
            "synchronous_node_count: 1",
            "synchronous_node_count: 3",
            r"commits wait for 3 standby, and there are 3 members",
        ),
        ("profiles/enterprise.toml", "workers = 3", "workers = 2", r"3 members must not share"),
        ("profiles/enterprise.toml", 'zones = ["a", "b", "c"]', "", r"the profile has none"),
        ("profiles/enterprise.toml", '"zones"]', '"zone"]', r"no overlay 'zone'; it has: repl"),
        ("profiles/enterprise.toml", "replicas = 3", "replicas = 1", r"there are 1 members in all"),
    ],
)
def test_impossible_numbers_are_refused_with_the_rule(
    tree: Path, path: str, old: str, new: str, rule: str
) -> None:
    change(tree / path, old, new)
    with pytest.raises(UsageError, match=rule) as told:
        stack.deployable("enterprise", tree)
    assert "component postgres" in str(told.value)


def test_one_member_may_take_its_time(tree: Path) -> None:
    """Without a standby nobody is promoted: a slow liveness probe does no harm there."""
    change(
        tree / "components/postgres/statefulset.yaml", "failureThreshold: 6", "failureThreshold: 60"
    )
    rules.check(Profile.load("minimal", tree), tree)


@pytest.mark.parametrize(
    ("spec", "impossible"),
    [
        ({"maxUnavailable": 1}, False),
        ({"maxUnavailable": 0}, True),
        ({"maxUnavailable": "0%"}, True),
        ({"minAvailable": 2}, False),
        ({"minAvailable": 3}, True),
        ({"minAvailable": "100%"}, True),
    ],
)
def test_a_budget_that_never_allows_a_disruption_is_found(
    spec: dict[str, Any], impossible: bool
) -> None:
    labels = {"app": "a"}
    workload = {
        "kind": "StatefulSet",
        "spec": {"replicas": 3, "template": {"metadata": {"labels": labels | {"more": "b"}}}},
    }
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "a"},
        "spec": {**spec, "selector": {"matchLabels": labels}},
    }
    assert bool(rules.impossible_budgets([workload, budget])) is impossible
    assert rules.impossible_budgets([budget])  # about nothing


# Patroni's settings


def settings(profile: str = "enterprise") -> Any:
    return patroni.settings(Profile.load(profile, TREE), TREE / "components" / "postgres")


def test_several_members_have_what_one_has_and_more() -> None:
    one, several = settings("minimal"), settings()
    assert several["postgresql"]["pg_hba"] == one["postgresql"]["pg_hba"]
    assert several["restapi"] == one["restapi"]
    dcs = several["bootstrap"]["dcs"]
    assert dcs["postgresql"]["use_pg_rewind"] is True
    assert dcs["postgresql"]["parameters"]["wal_log_hints"] == "on"
    assert one["bootstrap"]["dcs"].get("synchronous_mode") is None
    assert one["bootstrap"]["dcs"]["loop_wait"] == 2


def test_several_members_lose_nothing_and_are_back_by_themselves() -> None:
    dcs = settings()["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is True  # and not "quorum"
    assert (dcs["ttl"], dcs["loop_wait"], dcs["retry_timeout"]) == (20, 1, 8)
    assert dcs["primary_start_timeout"] == 0
    assert dcs["failsafe_mode"] is True
    parameters = dcs["postgresql"]["parameters"]
    assert parameters["wal_sender_timeout"] == "5s"
    # two of three may be cloned at once, by two streams each, beside what streams
    assert min(parameters["max_wal_senders"], parameters["max_replication_slots"]) >= 6
    own = settings()["postgresql"]
    assert {"checkpoint": "fast"} in own["basebackup"]
    assert own["remove_data_directory_on_rewind_failure"] is True
    assert own["remove_data_directory_on_diverged_timelines"] is True


def test_members_verify_each_other() -> None:
    found = settings()
    assert found["ctl"] == {"cacert": "/etc/platform-ca/ca.crt"}
    assert {one["sslmode"] for one in found["postgresql"]["authentication"].values()} == {
        "verify-full"
    }
    patch = yaml.safe_load((TREE / REPLICATED / "statefulset.yaml").read_text())
    [container] = patch["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    for port, name in (
        (5432, "PATRONI_POSTGRESQL_CONNECT_ADDRESS"),
        (8008, "PATRONI_RESTAPI_CONNECT_ADDRESS"),
    ):
        assert env[name] == f"$(POD_NAME).{members.DOMAIN}:{port}"


def test_every_number_is_explained_beside_it() -> None:
    text = (TREE / REPLICATED / "replicated.yml").read_text()
    lines = [line.strip() for line in text.splitlines()]
    for key in ("ttl", "loop_wait", "retry_timeout", "primary_start_timeout", "synchronous_mode"):
        [place] = [number for number, line in enumerate(lines) if line.startswith(f"{key}:")]
        assert lines[place - 1].startswith("#"), key


# names


def test_one_member_is_reached_by_the_service_and_several_by_name() -> None:
    one, three = (members.of(Profile.load(name, TREE)) for name in ("minimal", "enterprise"))
    assert members.hosts(one) == ["postgres.infraforge-data.svc"]
    assert members.hosts(three) == [f"postgres-{n}.{members.DOMAIN}" for n in range(3)]
    assert members.url(one, "d") == (
        "postgresql://{{username}}:{{password}}@postgres.infraforge-data.svc:5432/d"
        "?sslmode=verify-full&sslrootcert=/etc/platform-ca/ca.crt"
    )
    assert "&target_session_attrs=read-write&connect_timeout=2" in members.url(three, "d")
    assert ":5432" not in members.url(three, "d")


def test_patroni_may_name_each_member_in_kubernetes() -> None:
    documents = yaml.safe_load_all((TREE / "components/postgres/serviceaccount.yaml").read_text())
    [role] = [item for item in documents if item["kind"] == "Role"]
    named = {name for rule in role["rules"] for name in rule.get("resourceNames", ())}
    assert named >= set(members.of(Profile.load("enterprise", TREE)))


def test_members_are_told_apart_by_what_the_primary_says() -> None:
    rows = [("postgres-2", "async"), ("postgres-0", "sync")]
    found = patroni.Members.seen("postgres-1", rows, "postgres-0")
    assert (found.synchronous, found.asynchronous) == (("postgres-0",), ("postgres-2",))
    assert found.whole(3)
    assert not found.whole(4)
    assert not patroni.Members.seen("postgres-1", [("postgres-0", "async")], "").whole(2)


def test_members_are_not_whole_while_nobody_could_be_promoted() -> None:
    """Seen with Patroni 4.0.7: a primary that dies then comes back, or nobody leads."""
    rows = [("postgres-0", "sync")]
    for promotable in ("", "postgres-2", "postgres-0,postgres-2"):
        assert not patroni.Members.seen("postgres-1", rows, promotable).whole(2)
    assert patroni.Members.seen("postgres-1", rows, "postgres-0").whole(2)


def test_the_folder_made_for_kustomize_is_gone_also_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="no-kubectl"):
        overlays.render(tmp_path / "no-kubectl", TREE / "components" / "postgres", ["replicated"])
    assert list(tmp_path.iterdir()) == []
