"""To which Redis the backend's cache talks, and how it finds the master."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest
import yaml

from infraforge.components import backend
from infraforge.profile import Profile
from infraforge.selftests import apps

redis = importlib.import_module("redis")
config = importlib.import_module("infraforge_backend.config")
servers = importlib.import_module("infraforge_backend.servers")
services = importlib.import_module("infraforge_backend.services")
vault = importlib.import_module("infraforge_backend.vault")

OWN = vault.Keys("backend", "own secret")
ASKS = vault.Keys("client", "sentinels' secret")
NAMES = [f"redis-sentinel-{n}.redis-sentinel-internal.infraforge-access" for n in range(3)]
SEVERAL = config.Config(redis_sentinels=",".join(f"{name}:26379" for name in NAMES))
ONE, TWO = (
    ("redis-cache-0.redis-cache-internal", 6379),
    ("redis-cache-1.redis-cache-internal", 6379),
)


class FakeSentinel:
    """Answers what it is told to; silent if that is an error."""

    def __init__(self, address: tuple[str, int], epoch: int = 1, **state: Any) -> None:
        self.state = {
            "ip": address[0],
            "port": address[1],
            "config-epoch": epoch,
            "is_master": True,
            "is_sdown": False,
            "is_odown": False,
            "num-other-sentinels": 2,
            **state,
        }
        self.error: Exception | None = None
        self.asked = 0

    def sentinel_masters(self) -> dict[str, Any]:
        self.asked += 1
        if self.error:
            raise self.error
        return {"cache": self.state}


def three(*fakes: FakeSentinel) -> Any:
    made = servers.Sentinels([("nowhere", 1)] * 3, min_other_sentinels=1)
    made.sentinels = list(fakes)
    made._first = fakes[0]
    return made


def test_the_first_sentinel_that_answers_is_believed_and_asked_first_from_then_on() -> None:
    silent, answers, spare = (FakeSentinel(ONE) for _ in range(3))
    silent.error = redis.TimeoutError("silent")
    ask = three(silent, answers, spare)
    assert [ask.discover_master("cache") for _ in range(3)] == [ONE] * 3
    assert (silent.asked, answers.asked, spare.asked) == (1, 3, 0)


@pytest.mark.parametrize(
    "state", [{"is_odown": True}, {"is_sdown": True}, {"num-other-sentinels": 0}]
)
def test_a_sentinel_whose_master_is_down_or_that_knows_no_other_is_not_believed(
    state: dict[str, Any],
) -> None:
    assert three(FakeSentinel(ONE, **state), *(FakeSentinel(TWO, 2),) * 2).discover_master(
        "cache"
    ) == (TWO)


def test_in_doubt_the_latest_failover_counts() -> None:
    """A sentinel that is cut off together with a former master goes on naming it."""
    behind, ahead = FakeSentinel(ONE, 1), FakeSentinel(TWO, 2)
    ask = three(behind, ahead, FakeSentinel(TWO, 2))
    assert ask.discover_master("cache") == ONE
    ask.doubt = True
    assert ask.discover_master("cache") == TWO
    ask.doubt = False
    assert ask.discover_master("cache") == TWO


def test_no_sentinel_is_lost_whoever_answers() -> None:
    """redis-py's own list swaps its members, which two threads at once can spoil."""
    fakes = [FakeSentinel(ONE) for _ in range(3)]
    ask = three(*fakes)
    for fake in fakes:
        fake.error = redis.ConnectionError("gone")
        if fake is not fakes[-1]:
            ask.discover_master("cache")
    with pytest.raises(servers.MasterNotFoundError):
        ask.discover_master("cache")
    assert ask.sentinels == fakes


def test_one_that_may_not_be_asked_is_as_good_as_silent() -> None:
    refuses = FakeSentinel(ONE)
    refuses.error = redis.exceptions.NoPermissionError("NOPERM")
    assert three(refuses, *(FakeSentinel(TWO),) * 2).discover_master("cache") == TWO


def test_sentinels_get_verified_tls_a_password_of_their_own_and_no_second_try() -> None:
    made = servers.connect(SEVERAL, OWN, ASKS)
    assert [one.connection_pool.connection_kwargs["host"] for one in made._sentinels.sentinels] == (
        NAMES
    )
    for one in made._sentinels.sentinels:
        pool = one.connection_pool
        assert issubclass(pool.connection_class, redis.SSLConnection)
        found = pool.connection_kwargs
        assert (found["username"], found["password"]) == ("client", "sentinels' secret")
        assert found["ssl_ca_certs"] == SEVERAL.ca_file
        assert found["ssl_check_hostname"] is True
        assert found["retry"].get_retries() == 0
        assert (found["socket_timeout"], found["socket_connect_timeout"]) == (0.3, 0.3)


@pytest.mark.parametrize("given", [config.Config(), SEVERAL], ids=["one server", "sentinels"])
def test_the_server_gets_verified_tls_its_own_password_and_no_second_try(given: Any) -> None:
    pool = servers.connect(given, OWN, ASKS)._pool
    found = pool.connection_kwargs
    assert issubclass(pool.connection_class, redis.SSLConnection)
    assert (found["username"], found["password"]) == ("backend", "own secret")
    assert found["ssl_ca_certs"] == given.ca_file
    assert found["ssl_check_hostname"] is True
    assert found["retry"].get_retries() == 0
    assert (found["socket_timeout"], found["socket_connect_timeout"]) == (0.3, 0.5)
    assert pool.max_connections == 32


def test_without_sentinels_it_is_the_one_server_of_the_configuration() -> None:
    made = servers.connect(config.Config(), OWN)
    found = made._pool.connection_kwargs
    assert (found["host"], found["port"]) == ("redis-cache.infraforge-data.svc", 6379)
    assert made._sentinels is None


def test_with_sentinels_no_address_is_kept() -> None:
    found = servers.connect(SEVERAL, OWN, ASKS)._pool.connection_kwargs
    assert "host" not in found
    assert "port" not in found


def test_sentinels_without_a_password_for_them_are_a_mistake_that_is_told() -> None:
    with pytest.raises(ValueError, match="REDIS_SENTINELS"):
        servers.connect(SEVERAL, OWN)


@pytest.mark.parametrize("text", ["sentinel-0", "sentinel-0:x", ":26379", "a:1,:2"])
def test_a_list_of_sentinels_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="REDIS_SENTINELS"):
        config.Config.from_environment({"REDIS_SENTINELS": text})


# connections


class Connection:
    """A connection to one server. said: what comes back, an error to be raised."""

    def __init__(self, server: str, *said: object) -> None:
        self.server, self.said = server, list(said)
        self.sent: list[tuple[object, ...]] = []
        self.ended = False

    def send_command(self, *words: object) -> None:
        self.sent.append(words)

    def read_response(self) -> object:
        answer = self.said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_connect(self) -> None:
        self.sent.append(("AUTH",))

    def disconnect(self) -> None:
        self.ended = True


class Pool:
    def __init__(self, *connections: Connection) -> None:
        self.connections = list(connections)
        self.lent = self.looked = 0

    def get_connection(self) -> Connection:
        self.lent += 1
        return self.connections[0]

    def release(self, _: Connection) -> None:
        self.lent -= 1

    def get_master_address(self) -> None:
        self.looked += 1


class Client:
    def __init__(self, pool: Pool) -> None:
        self.connection_pool = pool


def over(*connections: Connection, sentinels: Any = None) -> tuple[Any, Pool]:
    pool = Pool(*connections)
    return servers.Servers(Client(pool), sentinels), pool


def test_a_script_reaches_the_server_it_is_for() -> None:
    connection = Connection("run-1", 1)
    made, pool = over(connection)
    assert made.eval("run-1", "return 1", ["k", "k:lease"], "w:1") == 1
    assert connection.sent == [("EVAL", "return 1", 2, "k", "k:lease", "w:1")]
    assert pool.lent == 0


def test_no_other_server_is_sent_anything() -> None:
    """A connection that is behind goes; one to the master of now stays, for knowledge to follow."""
    behind, ahead = Connection("run-1", "PONG"), Connection("run-2", "PONG")
    made, pool = over(behind)
    with pytest.raises(servers.OtherServer):
        made.eval("run-2", "return 1", ["k"])
    assert (behind.sent, behind.ended, pool.lent) == ([], True, 0)
    pool.connections = [ahead]
    assert made.meet() == "run-2"
    with pytest.raises(servers.OtherServer):
        made.eval("run-1", "return 1", ["k"])
    assert (ahead.sent, ahead.ended) == ([("PING",)], False)


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (redis.TimeoutError("silent"), True),
        (redis.ConnectionError("The previous master is now a slave"), True),
        (redis.ResponseError("NOREPLICAS"), False),
    ],
    ids=str,
)
def test_an_answer_that_never_came_ends_its_connection(error: Exception, ends: bool) -> None:
    """Or it would be read as the answer to the next command."""
    connection = Connection("run-1", error)
    made, pool = over(connection)
    with pytest.raises(type(error)):
        made.eval("run-1", "return 1", ["k"])
    assert (connection.ended, pool.lent) == (ends, 0)


def test_readonly_ends_the_connection_in_redis_py_itself() -> None:
    """With sentinels; without any, no server is ever demoted."""
    pool = servers.connect(SEVERAL, OWN, ASKS)._pool
    assert issubclass(pool.connection_class, redis.sentinel.SentinelManagedSSLConnection)


def test_every_look_for_the_master_asks_the_sentinels_anew() -> None:
    sentinels = three(*(FakeSentinel(ONE) for _ in range(3)))
    made, pool = over(Connection("run-1", "PONG", "PONG"), sentinels=sentinels)
    made.meet()
    made.meet(doubt=True)
    assert pool.looked == 2
    assert sentinels.doubt


INFO = b"# Server\r\nredis_version:8.0.2\r\nrun_id:%s\r\n# Replication\r\nrole:%s\r\n"


def test_a_connection_knows_its_server_from_the_begin() -> None:
    connection = Connection("", INFO % (b"ab12", b"master"))
    servers._introduce(connection)
    assert connection.server == "ab12"
    assert connection.sent == [("AUTH",), ("INFO", "server", "replication")]


def test_a_replica_is_no_server_for_the_cache() -> None:
    with pytest.raises(redis.ConnectionError, match="replica"):
        servers._introduce(Connection("", INFO % (b"ab12", b"slave")))


# keys


class NoCredentials:
    look_up = suspect = held = None


@pytest.mark.parametrize("order", ["redis first", "sentinel first"])
def test_the_cache_is_connected_once_all_its_keys_are_there(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = services.Services(SEVERAL, NoCredentials())
    given: list[Any] = []
    monkeypatch.setattr(made.cache, "use", given.append)
    take = [lambda: made.use_redis(OWN), lambda: made.use_sentinel(ASKS)]
    for one in take if order == "redis first" else reversed(take):
        assert given == []
        one()
    assert len(given) == 1
    plain = services.Services(config.Config(), NoCredentials())
    monkeypatch.setattr(plain.cache, "use", given.append)
    plain.use_redis(OWN)
    assert len(given) == 2


def test_the_overlay_names_three_sentinels_and_the_profile_gives_their_key() -> None:
    path = apps.APPS.parent / "components" / "backend" / "overlays" / "sentinels"
    patch = yaml.safe_load((path / "deployment.yaml").read_text())
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    given = config.Config.from_environment({one["name"]: one["value"] for one in container["env"]})
    suffix = ".redis-sentinel-internal.infraforge-access.svc.cluster.local"
    assert given.sentinels == tuple((f"redis-sentinel-{n}{suffix}", 26379) for n in range(3))
    assert given.redis_master == "cache"
    standard = Profile.load("standard", apps.APPS.parent)
    with_them = dataclasses.replace(
        standard, components={**standard.components, "redis-sentinel": {}}
    )
    keys = backend.profile_settings(with_them)["VAULT_KEYS"].split()
    assert set(keys) == {"minio", "redis", "nats", "sentinel"}
