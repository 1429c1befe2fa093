"""Connections to the Redis that holds the cache; each knows which server it leads to.

A connection asks, as soon as it is made, for the server's run id and role. The run id is of one
process: it changes at a restart, stays through a promotion, and cannot change while a connection
lives. A connection to a replica is refused at once.

With sentinels (`REDIS_SENTINELS`) every new connection asks them who is master, so no address is
ever kept. Connections to a former master end when the sentinels name another one (`meet`), when it
answers READONLY, or when a command meant for another server comes by. The sentinels give names,
and the server's certificate is verified against its name. Without sentinels there is one server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from infraforge_backend.config import Config

if TYPE_CHECKING:
    from infraforge_backend.vault import Keys

SOCKET_SECONDS = 0.3
CONNECT_SECONDS = 0.5
SENTINEL_SECONDS = 0.3
_CONNECTIONS = 32


class OtherServer(redis.RedisError):
    """The connection leads to another server than the one that was meant; nothing was sent."""


class Sentinels(Sentinel):
    """The sentinels, safe to use from several threads (redis-py's own list is not).

    doubt: ask all of them, and believe the one with the latest failover (configuration epoch),
    instead of the first that answers: one that is cut off goes on naming a former master.
    """

    doubt = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._first = self.sentinels[0]

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Host name and port of the master. Raises MasterNotFoundError where nobody names one."""
        first = self._first
        found: list[tuple[int, redis.Redis, tuple[str, int]]] = []
        errors = []
        for sentinel in (first, *(each for each in self.sentinels if each is not first)):
            try:
                state = sentinel.sentinel_masters().get(service_name)
            except redis.RedisError as error:
                errors.append(type(error).__name__)
                continue
            if state and self.check_master_state(state, service_name):
                address = (str(state["ip"]), int(state["port"]))
                found.append((int(state["config-epoch"]), sentinel, address))
                if not self.doubt:
                    break
        if not found:
            told = ", ".join(errors) or "none is in service"
            raise MasterNotFoundError(f"no sentinel names a master of {service_name}: {told}")
        _, self._first, address = max(found, key=lambda one: one[0])
        return address


class Servers:
    """What the cache talks to: one server, or whichever is master."""

    def __init__(self, client: redis.Redis, sentinels: Sentinels | None = None) -> None:
        self._client = client
        self._pool = client.connection_pool
        self._sentinels = sentinels
        self._met = ""

    def meet(self, doubt: bool = False) -> str:
        """The run id of the server, or of the master as the sentinels name it now.

        doubt: ask every sentinel. Raises redis.RedisError where it does not answer.
        """
        if self._sentinels is not None:
            self._sentinels.doubt = doubt
            self._pool.get_master_address()  # ends idle connections where it is another one
        with self._lent() as connection:
            connection.send_command("PING")
            connection.read_response()
            self._met = str(connection.server)
        return self._met

    def eval(
        self, server: str | None, script: str, keys: Sequence[str], *arguments: object
    ) -> object:
        """What the script answers. server: the run id it is for; None: whichever is master.

        Raises redis.RedisError; OtherServer where the connection leads elsewhere.
        """
        with self._lent() as connection:
            if server not in (None, connection.server):
                if connection.server != self._met:  # it is the connection that is behind
                    connection.disconnect()
                raise OtherServer(f"run id {connection.server}")
            connection.send_command("EVAL", script, len(keys), *keys, *arguments)
            return connection.read_response()

    def close(self) -> None:
        """Close all connections, those to the sentinels as well."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.close()
            if self._sentinels is not None:
                self._sentinels.close()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Any]:
        """A connection of the pool; closed after an error that leaves its state unknown."""
        connection = self._pool.get_connection()
        try:
            yield connection
        except (redis.ResponseError, OtherServer):
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)


def connect(config: Config, keys: Keys, sentinel: Keys | None = None) -> Servers:
    """The cache's servers. Each attempt gives up after 0.3 s and is not repeated: the database is
    there instead.

    sentinel: who asks the sentinels; needed if the configuration names any.
    """
    once = {"retry": Retry(NoBackoff(), 0)}
    verified = {"ssl": True, "ssl_ca_certs": config.ca_file, "ssl_check_hostname": True}
    of_server = {
        **once,
        **verified,
        "username": keys.user,
        "password": keys.secret,
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "redis_connect_func": _introduce,
        "max_connections": _CONNECTIONS,
    }
    addresses = config.sentinels
    if not addresses:
        return Servers(redis.Redis(host=config.redis_host, port=config.redis_port, **of_server))
    if sentinel is None:
        raise ValueError("REDIS_SENTINELS needs the sentinels' own user and password")
    # these get none of the arguments above by themselves
    of_sentinel = {
        **once,
        **verified,
        "username": sentinel.user,
        "password": sentinel.secret,
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
    }
    # one that has just started, and knows no other, may still name the master of its first day
    others = 1 if len(addresses) > 1 else 0
    sentinels = Sentinels(addresses, min_other_sentinels=others, sentinel_kwargs=of_sentinel)
    return Servers(sentinels.master_for(config.redis_master, **of_server), sentinels)


def _introduce(connection: Any) -> None:
    """Sign in, then ask which server this is, and whether it takes writes."""
    connection.on_connect()
    connection.send_command("INFO", "server", "replication")
    said = parse_info(connection.read_response())
    if said.get("role", "master") != "master":
        raise redis.ConnectionError("the server is a replica")
    connection.server = said["run_id"]


def parse_info(answer: bytes | str) -> dict[str, str]:
    """The fields of an answer to INFO, as text."""
    text = answer.decode() if isinstance(answer, bytes) else answer
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, _, value in lines}
