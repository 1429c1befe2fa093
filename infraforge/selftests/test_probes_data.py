"""The data probes' pure parts: counts compared, cached values read, promises looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from infraforge.errors import ClusterError, Inconclusive
from infraforge.probes import cached, declared, injected, logs, queries
from infraforge.workloads.streams import Stream

TREE = Path(__file__).parents[2] / "platform"
READ = "SELECT id FROM projects WHERE id = $1"
PULSE = "SELECT epoch FROM cache_epoch"


def look(calls: Mapping[tuple[int, str], int], health: tuple[int, str] = (0, "t0")) -> queries.Look:
    return queries.Look(calls, health)


def test_statements_between_two_looks_are_counted_and_those_before_are_not() -> None:
    before = look({(1, READ): 5, (2, PULSE): 100})
    after = look({(1, READ): 7, (2, PULSE): 100, (3, "SELECT 3"): 1})
    assert queries.between(before, after) == {READ: 2, "SELECT 3": 1}


@pytest.mark.parametrize("health", [(1, "t0"), (0, "t1")], ids=["thrown away", "reset"])
def test_lost_counts_are_inconclusive(health: tuple[int, str]) -> None:
    with pytest.raises(Inconclusive, match="counts were lost"):
        queries.between(look({}), look({}, health))


def test_a_table_is_found_by_its_whole_name() -> None:
    counted = queries.Counted({READ: 1, PULSE: 2, "SELECT * FROM old_projects": 3, "projectsx": 4})
    assert counted.touching("projects") == {READ: 1}


class FakeRedis:
    def __init__(self, values: Mapping[str, bytes], ttl: int = 42_000) -> None:
        self.values, self.ttl = values, ttl

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def pttl(self, key: str) -> int:
        return self.ttl if key in self.values else -2

    def time(self) -> tuple[int, int]:
        return 100, 500_000

    def zrange(self, key: str, first: int, last: int, withscores: bool) -> list[tuple[bytes, int]]:
        assert (first, last, withscores) == (0, -1, True)
        return [(b"w:1", 100_501), (b"w:2", 100_500)] if key in self.values else []


def test_a_cached_value_is_read_with_its_epoch_and_its_end() -> None:
    client: Any = FakeRedis({"project:7": b'3\n{"version": 9}', "project:7:lease": b"w:1"})
    value = cached.project(client, "7")
    assert value == cached.Cached(3, {"version": 9}, 42.0)
    assert value.version == 9
    assert cached.holders(client, "7") == ["w:1"]  # the other's time is over


def test_a_value_without_expiry_lives_forever() -> None:
    client: Any = FakeRedis({"project:7": b"3\n{}"}, ttl=-1)
    value = cached.project(client, "7")
    assert value is not None
    assert value.ttl == float("inf")


def test_what_is_not_cached_is_none() -> None:
    client: Any = FakeRedis({})
    assert cached.project(client, "7") is None
    assert cached.holders(client, "7") == []


def test_a_cached_absence_is_not_a_project() -> None:
    client: Any = FakeRedis({"project:7": b"3\n"})
    assert cached.project(client, "7") is None


def test_a_silent_cache_is_not_an_empty_cache() -> None:
    def silent(key: str) -> None:
        raise redis.TimeoutError("timed out")

    client: Any = SimpleNamespace(get=silent, pttl=silent)
    with pytest.raises(ClusterError, match="does not answer"):
        cached.project(client, "7")


def test_promises_are_read_from_the_tree() -> None:
    site: Any = SimpleNamespace(tree=TREE)
    assert declared.cache_ttl(site) == 60
    assert declared.object_keeping(site) == 60
    assert declared.lease_ttl(site) == 3600


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("POSTGRES_PASSWORD", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("DATABASE_URL", True),
        ("API_KEY", True),
        ("VAULT_TOKEN", True),
        ("VAULT_TOKEN_FILE", False),
        ("CACHE_TTL_SECONDS", False),
        ("POSTGRES_HOST", False),
    ],
)
def test_variables_with_secrets_are_recognised_by_name(name: str, secret: bool) -> None:
    assert injected.looks_secret(name) is secret


def test_a_stream_is_the_same_however_it_is_read() -> None:
    size = 3 * 1024 * 1024 + 5
    whole, pieces, small = Stream(size, 1), Stream(size, 1), Stream(size, 1)
    data = whole.read()
    assert len(data) == size == len(whole)
    assert b"".join(pieces) == data
    assert b"".join(iter(lambda: small.read(65_537), b"")) == data
    assert {whole.sha256, pieces.sha256, small.sha256} == {hashlib.sha256(data).hexdigest()}
    assert Stream(size, 2).read() != data


LOGS = {
    "backend": ('{"request_id": "a", "level": "info"}', '{"request_id": "x", "level": "error"}'),
    "ingress": ("NGINX's error log is not JSON", '{"request_id": "a", "status": 422}'),
}


@pytest.mark.parametrize(
    ("component", "line", "kind"),
    [
        ("backend", "Traceback (most recent call last):", "not JSON"),
        ("backend", '{"request_id": "a", "level": "critical"}', "errors"),
        ("ingress", '{"request_id": "a", "exception": "x"}', "errors"),
        ("backend", '{"request_id": "x", "body": "mark7"}', "bodies"),
        ("ingress", "client sent mark7", "bodies"),
    ],
)
def test_what_must_not_be_in_a_log_is_found(
    monkeypatch: pytest.MonkeyPatch, component: str, line: str, kind: str
) -> None:
    said = dict(LOGS)
    monkeypatch.setattr(logs, "lines", lambda _site, name, _since: said[name])
    site: Any = None
    asked = (site, datetime.now(UTC), {"a"}, "mark7")
    assert logs.offences(*asked) == {}
    said[component] = (*LOGS[component], *[line] * 9)
    assert logs.offences(*asked) == {kind: [line] * 5}
