"""NATS with JetStream: users with hashed passwords, streams as data, the harness' own access."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import bcrypt
import nats.errors
from nats.aio.client import Client

from infraforge.components import containers
from infraforge.components.base import Component, Listener
from infraforge.components.passwords import passwords_of
from infraforge.components.site import Site
from infraforge.errors import ClusterError

T = TypeVar("T")
Ask = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

NAMESPACE = "infraforge-data"
URL = f"tls://nats.{NAMESPACE}.svc:4222"
_OPERATOR = "operator"
_SECONDS = 10
_FAILURES = (nats.errors.Error, OSError, asyncio.TimeoutError)


class Nats(Component):
    """One server. Secret `nats` holds passwords; the server gets `nats-hashes` and `nats-users`."""

    name = "nats"
    namespace = NAMESPACE
    needs = ("namespaces",)
    # port 4222 sends a line before TLS, and then shows the same certificate
    listens = (Listener(8222),)
    reloads = True

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        site.certificate(
            self.name, NAMESPACE, [self.name], extra_names=[f"*.nats-internal.{NAMESPACE}.svc"]
        )

    def prepare(self, site: Site) -> None:
        """Write the users with the hashes of their passwords."""
        passwords = self._passwords(site)
        # stored: a hash is salted, so a new one in the file would look like a change
        hashes = dict(site.secret("nats-hashes", NAMESPACE, lambda: _hashes(passwords)))
        if set(hashes) != set(passwords):
            hashes = _hashes(passwords)
            site.write_secret("nats-hashes", NAMESPACE, hashes)
        wanted = {"users.conf": users_conf(self._rules(site), hashes)}
        if site.read_secret("nats-users", NAMESPACE) != wanted:
            site.write_secret("nats-users", NAMESPACE, wanted)

    def configure(self, site: Site) -> None:
        """Create streams and consumers as `streams.json` says."""
        wanted = json.loads((site.tree / "components" / self.name / "streams.json").read_text())

        async def set_up(_client: Client, ask: Ask) -> None:
            for stream in wanted["streams"]:
                await _put_stream(ask, stream)
            for consumer in wanted["consumers"]:
                name = consumer["config"]["durable_name"]
                place = f"{consumer['stream_name']}.{name}"
                await ask(f"$JS.API.CONSUMER.CREATE.{place}", consumer)

        self.work(site, set_up)

    def reload(self, site: Site) -> None:
        """Send NATS' reload signal to process 1; connections stay open."""
        for pod in containers.pods(site, self.name):
            site.execute(
                NAMESPACE, pod.metadata.name, self.name, "nats-server", "--signal", "reload=1"
            )

    def credentials(self, site: Site, user: str) -> tuple[str, str]:
        """Name and password of one of its users. Raises ClusterError for an unknown user."""
        passwords = self._passwords(site)
        if user not in passwords:
            raise ClusterError(f"{self.name} has no user {user!r}; see its users.toml")
        return user, passwords[user]

    def work(
        self,
        site: Site,
        do: Callable[[Client, Ask], Awaitable[T]],
        user: str = _OPERATOR,
        told: Callable[[Exception], Awaitable[None]] | None = None,
    ) -> T:
        """The result of `do`, which gets a connection as `user` and a way to call JetStream's API.

        told: called with each error that the server reports meanwhile.
        Raises ClusterError when NATS refuses the user or a call fails.
        """
        name, password = self.credentials(site, user)
        with site.forward(NAMESPACE, f"svc/{self.name}", 4222) as port:

            async def session() -> T:
                client = Client()
                await client.connect(
                    [f"tls://localhost:{port}"],  # the name in the server's certificate
                    user=name,
                    password=password,
                    tls=ssl.create_default_context(cafile=str(site.ca_file)),
                    inbox_prefix=f"_INBOX_{name}",
                    allow_reconnect=False,
                    connect_timeout=_SECONDS,
                    error_cb=told or _quiet,
                )
                try:
                    return await do(client, _asking(client))
                finally:
                    await client.close()

            try:
                return asyncio.run(session())
            except _FAILURES as error:
                raise ClusterError(
                    f"NATS refused or failed: {type(error).__name__}: {error}"
                ) from error

    def _rules(self, site: Site) -> Mapping[str, Any]:
        path = site.tree / "components" / self.name / "users.toml"
        return tomllib.loads(path.read_text())

    def _passwords(self, site: Site) -> Mapping[str, str]:
        return passwords_of(site, self.name, NAMESPACE, self._rules(site))


class Refused(ClusterError):
    """JetStream's API answered with an error. code: its `err_code`."""

    def __init__(self, subject: str, error: Mapping[str, Any]) -> None:
        super().__init__(f"{subject}: {error.get('description')} ({error.get('err_code')})")
        self.code = int(error.get("err_code", 0))


def users_conf(rules: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    """The part of NATS' configuration that lists its users (its language includes JSON)."""
    users = [
        {
            "user": user,
            "password": hashes[user],
            "permissions": {
                "publish": {"allow": rule["publish"]},
                "subscribe": {"allow": rule["subscribe"]},
            },
        }
        for user, rule in sorted(rules.items())
    ]
    return f"authorization: {json.dumps({'timeout': 5, 'users': users}, indent=1)}\n"


def _hashes(passwords: Mapping[str, str]) -> dict[str, str]:
    return {
        user: bcrypt.hashpw(password.encode(), bcrypt.gensalt(10, prefix=b"2a")).decode()
        for user, password in passwords.items()
    }


async def _put_stream(ask: Ask, stream: Mapping[str, Any]) -> None:
    try:
        await ask(f"$JS.API.STREAM.INFO.{stream['name']}", {})
    except Refused as error:
        if error.code != _NO_SUCH_STREAM:
            raise
        await ask(f"$JS.API.STREAM.CREATE.{stream['name']}", stream)
        return
    await ask(f"$JS.API.STREAM.UPDATE.{stream['name']}", stream)


_NO_SUCH_STREAM = 10059


def _asking(client: Client) -> Ask:
    async def ask(subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        payload = json.dumps(body).encode() if body else b""
        message = await client.request(subject, payload, timeout=_SECONDS)
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise Refused(subject, answer["error"])
        return answer

    return ask


def _no_news(record: logging.LogRecord) -> bool:
    """False for the warning that asyncio logs whenever the client leaves a TLS connection."""
    return "eof_received" not in record.getMessage()


logging.getLogger("asyncio").addFilter(_no_news)


async def _quiet(_error: Exception) -> None:
    """Ignore errors of the connection: the call that they break raises them."""
