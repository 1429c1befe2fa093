"""PostgreSQL, both Redis and MinIO without a cluster: their secrets and configuration."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from infraforge import components
from infraforge.components import minio, postgres, redis
from infraforge.selftests import apps  # noqa: F401

cache = importlib.import_module("infraforge_backend.cache")
objects = importlib.import_module("infraforge_backend.objects")

FOLDERS = Path(__file__).parents[2] / "platform" / "components"
NAMES = ("postgres", "redis-cache", "redis-sessions", "minio")
STORES = ("redis-cache", "redis-sessions")


def documents(name: str) -> list[dict[str, Any]]:
    parsed = []
    for path in sorted((FOLDERS / name).glob("*.yaml")):
        parsed += [document for document in yaml.safe_load_all(path.read_text()) if document]
    return parsed


def kinds(name: str, kind: str) -> list[dict[str, Any]]:
    return [document for document in documents(name) if document["kind"] == kind]


def patroni() -> dict[str, Any]:
    settings_of_patroni: dict[str, Any] = yaml.safe_load(
        (FOLDERS / "postgres" / "patroni.yml").read_text()
    )
    return settings_of_patroni


def users(store: str) -> dict[str, str]:
    return tomllib.loads((FOLDERS / store / "users.toml").read_text())


def settings(store: str) -> dict[str, str]:
    lines = (FOLDERS / store / "redis.conf").read_text().splitlines()
    pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return {key: value.strip('"') for key, value in pairs}


def commands(rule: str) -> set[str]:
    """All of a user's commands, those within brackets (for some keys only) included."""
    return {word[1:] for word in re.sub(r"[()]", "", rule).split() if word.startswith("+")}


# all of them


@pytest.mark.parametrize("name", NAMES)
def test_the_component_and_its_folder_agree(name: str) -> None:
    component = components.load(name)
    folder = yaml.safe_load((FOLDERS / name / "kustomization.yaml").read_text())
    assert component.name == name
    assert folder["namespace"] == component.namespace
    (workload,) = kinds(name, "StatefulSet")
    assert workload["spec"]["replicas"] == 1
    assert workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == name


@pytest.mark.parametrize("name", NAMES)
def test_no_manifest_holds_a_password(name: str) -> None:
    (workload,) = kinds(name, "StatefulSet")
    for container in workload["spec"]["template"]["spec"]["containers"]:
        for variable in container["env"]:
            if re.search(r"PASSWORD|SECRET|AUTH|ROOT_USER", variable["name"]):
                assert set(variable["valueFrom"]) == {"secretKeyRef"}
    assert not kinds(name, "Secret")


@pytest.mark.parametrize(
    ("name", "callers"),
    [
        ("postgres", {"backend", "vault", "postgres"}),
        ("redis-cache", {"backend"}),
        ("redis-sessions", {"oauth2-proxy"}),
        ("minio", {"backend"}),
    ],
)
def test_only_the_declared_callers_get_in(name: str, callers: set[str]) -> None:
    admitted = set()
    for policy in kinds(name, "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        for rule in policy["spec"].get("ingress", ()):
            assert rule["ports"]
            for peer in rule["from"]:
                admitted.add(peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"])
    assert admitted == callers


# PostgreSQL


def test_nobody_reaches_postgres_without_tls_and_a_password() -> None:
    for line in patroni()["postgresql"]["pg_hba"]:
        kind, *_who, method = line.split()
        assert (kind, method) in {("hostssl", "scram-sha-256"), ("host", "reject")}
    parameters = patroni()["postgresql"]["parameters"]
    assert parameters["ssl"] == "on"
    assert parameters["unix_socket_directories"] == ""


def test_the_superuser_is_let_in_from_within_the_pod_only() -> None:
    rules = [line.split()[1:4] for line in patroni()["postgresql"]["pg_hba"]]
    own = [address for _database, user, address in rules if user == "postgres"]
    assert own == ["127.0.0.1/32", "::1/128", "all"]
    everyone = [rules.index(rule) for rule in rules if rule[1] == "all"]
    assert min(everyone) > rules.index(["all", "postgres", "all"])


def test_postgres_keeps_the_text_of_no_statement() -> None:
    parameters = patroni()["postgresql"]["parameters"]
    wanted = {
        "log_statement": "none",
        "log_min_duration_statement": -1,
        "log_min_error_statement": "panic",
        "pg_stat_statements.track_utility": "off",
    }
    assert {key: parameters[key] for key in wanted} == wanted


def test_patronis_times_fit_into_each_other() -> None:
    times = patroni()["bootstrap"]["dcs"]
    assert times["ttl"] >= 20
    assert times["loop_wait"] + 2 * times["retry_timeout"] <= times["ttl"]


def test_clients_are_led_to_the_pod_that_patroni_calls_primary() -> None:
    selector = {
        service["metadata"]["name"]: service["spec"]["selector"]
        for service in kinds("postgres", "Service")
    }
    assert selector["postgres"]["role"] == "primary"
    assert "role" not in selector["postgres-internal"]


def test_patroni_finds_its_members_by_a_label_they_carry() -> None:
    (workload,) = kinds("postgres", "StatefulSet")
    labels = workload["spec"]["template"]["metadata"]["labels"]
    own = patroni()["kubernetes"]
    assert labels[own["scope_label"]] == patroni()["scope"]
    assert own["labels"].items() <= labels.items()


def test_patroni_may_change_its_own_objects_only() -> None:
    (role,) = kinds("postgres", "Role")
    assert role["rules"]
    for rule in role["rules"]:
        if set(rule["verbs"]) & {"patch", "update", "delete", "get"}:
            assert all(name.startswith("postgres-") for name in rule["resourceNames"])
        assert "secrets" not in rule["resources"]


def test_postgres_passwords_are_new_each_and_none_is_vaults() -> None:
    first, second = postgres.new_passwords(), postgres.new_passwords()
    assert set(first) == {"superuser", "replication", "rewind", "restapi"}
    assert len({*first.values(), *second.values()}) == 8


# Redis


def test_the_acl_file_holds_hashes_and_shuts_the_default_user_out() -> None:
    text = redis.acl({"b": "+ping", "a": "~x:* +get"}, {"a": "clear-a", "b": "clear-b"})
    digest = hashlib.sha256(b"clear-a").hexdigest()
    lines = text.splitlines()
    assert lines[0] == "user default reset ~* &* +@all"  # `reset` leaves it off, without a password
    assert lines[1] == f"user a reset on #{digest} ~x:* +get"
    assert "clear" not in text


@pytest.mark.parametrize("store", STORES)
def test_no_redis_user_may_do_everything(store: str) -> None:
    assert users(store)
    for rule in users(store).values():
        words = re.sub(r"[()]", "", rule).split()
        assert all(word[0] in "~+%" for word in words)
        assert not any("@" in word or word in ("~*", "%RW~*") for word in words)
        assert commands(rule).isdisjoint({"keys", "flushall", "flushdb", "config", "acl", "client"})


@pytest.mark.parametrize("store", STORES)
def test_observer_and_probe_change_nothing(store: str) -> None:
    writing = {"set", "del", "eval", "evalsha", "expire", "pexpire", "config|set", "getdel"}
    assert commands(users(store)["observer"]).isdisjoint(writing)
    assert "%R~*" in users(store)["observer"].split()
    assert users(store)["probe"] == "+ping"


def test_the_backend_may_run_its_scripts_and_no_more() -> None:
    scripts = [text for name, text in vars(cache.scripts).items() if name.isupper()]
    called = {name.lower() for text in scripts for name in re.findall(r"call\('(\w+)'", text)}
    own = {"eval", "ping", "info", "client|setinfo"}
    assert commands(users("redis-cache")["backend"]) == called | own
    assert [word for word in users("redis-cache")["backend"].split() if "~" in word] == [
        "~project:*",
        "~standing:*",
    ]


def test_oauth2_proxy_is_kept_to_keys_under_its_cookies_name() -> None:
    proxy = tomllib.loads((FOLDERS / "oauth2-proxy" / "oauth2-proxy.cfg").read_text())
    rule = users("redis-sessions")["oauth2-proxy"].split()
    assert [word for word in rule if "~" in word] == [f"~{proxy['cookie_name']}-*"]
    check, _, at_its_start = users("redis-sessions")["oauth2-proxy-check"].partition(" (")
    assert f"~{proxy['cookie_name']}-*" in check.split()
    assert commands(check) == {"get", "ping", "client|setinfo"}
    # a session's key goes on with 32 hexadecimal digits
    assert at_its_start == f"~{proxy['cookie_name']}-healthcheck-* +set +del)"


def test_the_sweeper_may_run_its_script_and_no_more() -> None:
    """And it looks at sessions alone, of which a person's life is longer than idle ones' is."""
    folder = FOLDERS / "redis-sessions"
    script = (folder / "idle.lua").read_text()
    in_script = re.findall(r"call\('(\w+)'(?:, '(IDLETIME)')?", script)
    called = {"|".join(filter(None, words)).lower() for words in in_script}
    rule = users("redis-sessions")["sweeper"]
    assert commands(rule) == called | {"eval", "client|setinfo"}
    keys = [word for word in rule.split() if "~" in word]
    own = ["~idle:swept", "~idle:master", "~idle:last:*"]
    assert keys == ["~__Host-infraforge_session-*", *own]
    shell = (folder / "idle.sh").read_text()
    assert 'pattern="__Host-infraforge_session-*"' in shell
    assert "-a " not in shell


@pytest.mark.parametrize("store", STORES)
def test_redis_speaks_tls_only(store: str) -> None:
    configured = settings(store)
    assert (configured["port"], configured["tls-port"]) == ("0", "6379")
    assert configured["aclfile"] == "/etc/redis-acl/users.acl"


def test_the_cache_evicts_and_the_session_store_does_not() -> None:
    forgets, keeps = settings("redis-cache"), settings("redis-sessions")
    assert (forgets["maxmemory-policy"], forgets["appendonly"]) == ("allkeys-lru", "no")
    assert (keeps["maxmemory-policy"], keeps["appendonly"]) == ("noeviction", "yes")
    assert forgets["save"] == ""


@pytest.mark.parametrize("store", STORES)
def test_probes_show_no_password_on_the_command_line(store: str) -> None:
    (workload,) = kinds(store, "StatefulSet")
    container, *_ = workload["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = container[probe]["exec"]["command"]
        assert {"-a", "--pass", "-u"}.isdisjoint(command)
        assert command[command.index("--user") + 1] == "probe"


# MinIO


def test_the_backend_is_kept_to_its_bucket() -> None:
    policy = json.loads((FOLDERS / "minio" / "backend-policy.json").read_text())
    resources = {name for rule in policy["Statement"] for name in rule["Resource"]}
    assert minio.BUCKET == objects.BUCKET
    assert resources == {f"arn:aws:s3:::{minio.BUCKET}", f"arn:aws:s3:::{minio.BUCKET}/*"}
    actions = {action for rule in policy["Statement"] for action in rule["Action"]}
    assert actions
    assert not any("*" in action for action in actions)


def test_minios_keys_are_new_and_the_encryption_key_has_256_bits() -> None:
    first, second = minio.new_keys(), minio.new_keys()
    assert all(first[key] != second[key] for key in first)
    name, _, key = first["kms-key"].partition(":")
    assert name
    assert len(base64.b64decode(key)) == 32


def test_minio_encrypts_by_default() -> None:
    (workload,) = kinds("minio", "StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    values = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert values["MINIO_KMS_AUTO_ENCRYPTION"] == "on"
    assert values["MINIO_BROWSER"] == "off"
