"""The queue and the second node without a cluster: users, streams, paths, published ports."""

from __future__ import annotations

import dataclasses
import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from infraforge.cluster import manifests
from infraforge.cluster.kind import Kind
from infraforge.cluster.kind_config import INGRESS_LABEL, kind_config
from infraforge.components import backend, nats
from infraforge.probes import queue
from infraforge.profile import Profile, Topology
from infraforge.selftests import apps  # noqa: F401

worker = importlib.import_module("infraforge_backend.worker")

TREE = Path(__file__).parents[2] / "platform"
FOLDER = TREE / "components" / "nats"
RULES: dict[str, Any] = tomllib.loads((FOLDER / "users.toml").read_text())
STREAMS: dict[str, Any] = json.loads((FOLDER / "streams.json").read_text())


def test_the_server_gets_hashes_and_no_password() -> None:
    passwords = {user: f"password of {user}" for user in RULES}
    hashes = nats._hashes(passwords)
    text = nats.users_conf(RULES, hashes)
    assert not any(password in text for password in passwords.values())
    for user, password in passwords.items():
        assert hashes[user].startswith("$2a$")  # the only prefix that NATS takes for a hash
        assert bcrypt.checkpw(password.encode(), hashes[user].encode())
        assert hashes[user] in text


def test_nobody_may_subscribe_to_another_users_replies() -> None:
    assert RULES
    for user, rule in RULES.items():
        assert rule["subscribe"] == [f"_INBOX_{user}.>"]
        assert ">" not in rule["publish"]


def test_streams_are_bounded_and_keep_what_was_confirmed() -> None:
    assert STREAMS["streams"]
    for stream in STREAMS["streams"]:
        assert stream["storage"] == "file"
        assert 0 < stream["max_bytes"] <= 2**26
        assert stream["max_msgs"] > 0
        # only events may be forgotten: they are told, not asked for
        assert stream["discard"] == ("old" if stream["name"] == "EVENTS" else "new")
    sizes = sum(stream["max_bytes"] for stream in STREAMS["streams"])
    assert sizes < 512 * 2**20, "more than max_file_store of nats.conf"


def test_worker_and_consumer_agree() -> None:
    [consumer] = STREAMS["consumers"]
    config = consumer["config"]
    assert (consumer["stream_name"], config["durable_name"]) == (worker.STREAM, worker.CONSUMER)
    assert config["ack_policy"] == "explicit"
    assert config["max_deliver"] == -1  # the worker counts, and buries
    assert config["ack_wait"] / 1e9 > 3 * worker._ALIVE_EVERY
    assert worker.DEAD in RULES["worker"]["publish"]


def test_the_backend_uses_the_queue_where_there_is_one() -> None:
    minimal, standard = (Profile.load(name, TREE) for name in ("minimal", "standard"))
    assert backend.profile_settings(minimal) == {}
    assert backend.profile_settings(standard) == {
        "NATS_URL": nats.URL,
        "VAULT_KEYS": "minio redis nats",
    }


@pytest.mark.parametrize(("workers", "publishes"), [(0, 0), (1, 1), (3, 1)])
def test_one_node_publishes_the_front_door_and_says_so(workers: int, publishes: int) -> None:
    profile = dataclasses.replace(
        Profile.load("standard", TREE), cluster=Topology(workers, ("a", "b") if workers > 1 else ())
    )
    files = {"certs": Path("/certs"), "control": Path("/control")}
    nodes = kind_config(profile, files)["nodes"]
    assert [node["role"] for node in nodes] == ["control-plane", *["worker"] * workers]
    assert [at for at, node in enumerate(nodes) if "extraPortMappings" in node] == [publishes]
    labelled = [at for at, node in enumerate(nodes) if INGRESS_LABEL in node.get("labels", {})]
    assert labelled == [publishes]


def test_the_ingress_wants_the_node_that_publishes() -> None:
    text = (TREE / "components" / "ingress" / "deployment.yaml").read_text()
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    [wish] = spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    # a wish: a cluster that the user brings has no such label
    assert wish["preference"]["matchExpressions"] == [{"key": INGRESS_LABEL, "operator": "Exists"}]


def test_on_our_own_nodes_the_ingress_is_on_the_one_that_publishes() -> None:
    """A wish alone loses to the spread over nodes when a pod is replaced: nobody gets in then."""
    text = (TREE / "components" / "ingress" / "deployment.yaml").read_text()
    deployment = yaml.safe_load(text)
    service = {"kind": "Service", "metadata": {"name": "x"}, "spec": {}}
    door = Kind("selftest", TREE).door
    kept, same = manifests.keep_to([deployment, service], door)
    affinity = kept["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required == [{"matchExpressions": [{"key": INGRESS_LABEL, "operator": "Exists"}]}]
    assert same == service
    assert manifests.keep_to([deployment], "") == [deployment]
    assert manifests.keep_to([deployment], "another/label") == [deployment]


def test_headers_of_a_message_are_read() -> None:
    raw = b"NATS/1.0\r\nNats-Msg-Id: JOBS-1\r\nInfraforge-Reason: a: b\r\n\r\n"
    assert queue.headers_of(raw) == {"nats-msg-id": "JOBS-1", "infraforge-reason": "a: b"}
    assert queue.headers_of(b"") == {}
