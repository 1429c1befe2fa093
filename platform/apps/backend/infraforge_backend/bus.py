"""NATS for a process of threads: one event loop in a thread of its own, one connection.

The connection does not mend itself: a client that reconnects keeps what it could not send in its
memory, and nobody knows what became of it. Whoever needs the bus after it broke connects anew, and
what was not confirmed is sent again under the same message id.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import nats
import nats.errors
from infraforge_shared.problems import Unavailable
from nats.aio.client import Client

from infraforge_backend.config import Config

log = logging.getLogger(__name__)
T = TypeVar("T")

_CONNECT_SECONDS = 2
_CONFIRM_SECONDS = 1.5
FAILURES = (nats.errors.Error, OSError, asyncio.TimeoutError)


class Bus:
    """The way to NATS of one process. Nothing happens before `start` and `use`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bus", daemon=True)
        self._login: tuple[str, str] | None = None
        self._client: Client | None = None
        self._connecting: asyncio.Lock | None = None

    @property
    def connected(self) -> bool:
        client = self._client
        return client is not None and client.is_connected

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the loop."""
        if not self._thread.is_alive():
            return
        try:
            self.submit(self._close()).result(3)
        except FAILURES:
            log.debug("the bus was not there to be left")
        self._loop.call_soon_threadsafe(self._loop.stop)

    def use(self, user: str, secret: str) -> None:
        """Sign in with these from now on."""
        self._login = (user, secret)
        if self._thread.is_alive():
            self.submit(self._close())

    def submit(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run `work` on the bus' loop; what comes back is a concurrent future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)  # type: ignore[return-value]

    def publish(self, subject: str, payload: str, message_id: str) -> None:
        """Hand a message over; on return a stream has stored it. Unavailable where none said so."""
        future = asyncio.run_coroutine_threadsafe(
            self._publish(subject, payload, message_id), self._loop
        )
        try:
            future.result(_CONNECT_SECONDS + _CONFIRM_SECONDS + 0.5)
        except FAILURES as error:
            future.cancel()
            raise Unavailable(f"the bus does not take it: {type(error).__name__}") from error

    def probe(self, seconds: float) -> str:
        """Whether the bus answers: an empty string, or what is wrong."""
        future = asyncio.run_coroutine_threadsafe(self._ping(seconds), self._loop)
        try:
            future.result(_CONNECT_SECONDS + seconds)
        except FAILURES as error:
            future.cancel()
            return type(error).__name__
        return ""

    async def client(self) -> Client:
        """The connection, made anew where there is none. Raises what FAILURES names."""
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._client is not None and self._client.is_connected:
                return self._client
            if self._login is None:
                raise nats.errors.Error("there are no credentials for the bus yet")
            await self._close()
            client = Client()
            user, secret = self._login
            await asyncio.wait_for(
                client.connect(
                    [self._config.nats_url],
                    user=user,
                    password=secret,
                    tls=ssl.create_default_context(cafile=self._config.ca_file),
                    name=self._config.vault_role,
                    # permissions name it: nobody listens to another's answers
                    inbox_prefix=f"_INBOX_{self._config.vault_role}",
                    allow_reconnect=False,
                    connect_timeout=_CONNECT_SECONDS,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    error_cb=_told,
                ),
                _CONNECT_SECONDS,
            )
            log.info("connected to the bus")
            self._client = client
            return client

    async def _publish(self, subject: str, payload: str, message_id: str) -> None:
        client = await self.client()
        await client.jetstream(timeout=_CONFIRM_SECONDS).publish(
            subject, payload.encode(), headers={"Nats-Msg-Id": message_id}
        )

    async def _ping(self, seconds: float) -> None:
        client = await self.client()
        await client.flush(timeout=max(1, round(seconds)))

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            await client.close()


async def _told(error: Exception) -> None:
    log.warning("the bus says", extra={"error": f"{type(error).__name__}: {error}"[:300]})
