"""The queue, its events and its dead letters, and each user's rights there."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client

from infraforge.components.nats import Ask, Nats, Refused
from infraforge.components.site import Site

_NO_MESSAGE = 10037
ALLOWED, DENIED = "allowed", "denied"


@dataclass(frozen=True)
class Message:
    """A message of a stream. headers: names in lower case."""

    subject: str
    data: bytes
    headers: Mapping[str, str]

    @property
    def value(self) -> Any:
        """Its data, parsed as JSON."""
        return json.loads(self.data)


def waiting(site: Site) -> int:
    """The number of jobs in the queue: not taken, or taken and not acknowledged."""

    async def look(_client: Client, ask: Ask) -> int:
        return int((await ask("$JS.API.STREAM.INFO.JOBS", {}))["state"]["messages"])

    return Nats().work(site, look)


def messages(site: Site, stream: str, subject: str) -> tuple[Message, ...]:
    """All messages of the stream under the subject (`*` and `>` are wildcards), oldest first."""

    async def read(_client: Client, ask: Ask) -> tuple[Message, ...]:
        received: list[Message] = []
        at = 1
        while True:
            try:
                answer = await ask(
                    f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": at, "next_by_subj": subject}
                )
            except Refused as error:
                if error.code == _NO_MESSAGE:
                    return tuple(received)
                raise
            message = answer["message"]
            at = int(message["seq"]) + 1
            received.append(
                Message(
                    message["subject"],
                    base64.b64decode(message.get("data", "")),
                    headers_of(base64.b64decode(message.get("hdrs", ""))),
                )
            )

    return Nats().work(site, read)


def events(site: Site, project: str) -> tuple[Mapping[str, Any], ...]:
    """The events about a project, oldest first."""
    received = messages(site, "EVENTS", f"events.*.*.{project}")
    return tuple(message.value for message in received)


def jobs_announced(site: Site, project: str) -> tuple[str, ...]:
    """The jobs of a project that events announce as done, once for each event."""
    received = messages(site, "EVENTS", f"events.job.done.{project}")
    return tuple(str(message.value["job"]) for message in received)


def publish(site: Site, subject: str, data: bytes) -> None:
    """Publish a message to the queue as its operator, which no client of the platform could."""

    async def send(client: Client, _ask: Ask) -> None:
        await client.jetstream().publish(subject, data)

    Nats().work(site, send)


def empty(site: Site) -> None:
    """Delete all jobs from the queue as its operator, as the loss of its volume would."""

    async def purge(_client: Client, ask: Ask) -> None:
        await ask("$JS.API.STREAM.PURGE.JOBS", {})

    Nats().work(site, purge)


def may(site: Site, user: str, ways: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """`publish SUBJECT` or `subscribe SUBJECT` → allowed or denied, as NATS itself decides."""
    complaints: list[str] = []

    async def told(error: Exception) -> None:
        complaints.append(str(error).lower())

    async def attempt(client: Client, _ask: Ask) -> Mapping[str, str]:
        decisions = {}
        for verb, subject in ways:
            complaints.clear()
            if verb == "publish":
                # a stream that received this would not store it: it is not the expected one
                await client.publish(subject, b"", headers={"Nats-Expected-Stream": "none"})
            else:
                await client.subscribe(subject)
            try:
                await client.flush()
                await client.flush()  # a complaint arrives before the reply to the flush
            except nats.errors.ConnectionClosedError:
                complaints.append("permissions violation: connection closed")
            denied = any("permissions violation" in complaint for complaint in complaints)
            decisions[f"{verb} {subject}"] = DENIED if denied else ALLOWED
        return decisions

    return Nats().work(site, attempt, user, told)


def headers_of(raw: bytes) -> Mapping[str, str]:
    """The headers in NATS' text form, names in lower case."""
    lines = raw.decode("utf-8", "replace").splitlines()[1:]
    pairs = [line.partition(":") for line in lines if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
