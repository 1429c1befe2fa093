"""The worker: takes jobs from the stream, does them, and only then acknowledges them.

A job that is not acknowledged comes again: after the consumer's patience when its worker died, with
a growing pause when it failed. One that can never be done, and one that failed as often as it may,
goes to the dead letters and is over. While a service it needs is away a job waits in its worker,
which says so to the stream: an outage of others uses up nobody's tries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import nats.errors
from infraforge_shared.problems import OutcomeUnknown, Unavailable
from nats.aio.msg import Msg

from infraforge_backend import metrics
from infraforge_backend.bus import FAILURES, Bus
from infraforge_backend.tasks import Hopeless, Name, Tasks

log = logging.getLogger(__name__)

STREAM, CONSUMER, DEAD = "JOBS", "workers", "deadletters.jobs"
TRIES = 5
HANDS = 4  # jobs at once
_FETCH_SECONDS = 5
_ALIVE_EVERY = 2.0  # well within the consumer's patience
_PAUSE_LIMIT = 30.0


class Poison(Exception):
    """A message that is no job; the text says why."""


class Stopped(Exception):
    """The worker was told to stop while a job waited for what it needs: it comes again."""


@dataclass(frozen=True)
class Delivery:
    """One delivery of a message. attempt: 1 for the first."""

    message: Msg
    attempt: int

    @property
    def name(self) -> Name:
        """Which job it is. Poison where it names none."""
        try:
            found = json.loads(self.message.data)
            row = found.get("row")
            return Name(uuid.UUID(found["job"]), None if row is None else uuid.UUID(row))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Poison("the message names no job") from error


def pause_before(attempt: int) -> float:
    """Seconds until a job that failed at `attempt` is delivered again."""
    return min(_PAUSE_LIMIT, 0.5 * 2.0**attempt)


class Worker:
    """Works until it is stopped; what it has begun it ends."""

    def __init__(self, bus: Bus, tasks: Tasks) -> None:
        self._bus = bus
        self._tasks = tasks
        self._stopping = False

    def stop(self) -> None:
        """Take nothing more."""
        self._stopping = True

    async def run(self) -> None:
        await asyncio.gather(*(self._hand() for _ in range(HANDS)))

    async def _hand(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                client = await self._bus.client()
                stream = client.jetstream()
                source = await stream.pull_subscribe_bind(consumer=CONSUMER, stream=STREAM)
                failures = 0
                while client.is_connected and not self._stopping:
                    with contextlib.suppress(nats.errors.TimeoutError):
                        for message in await source.fetch(1, timeout=_FETCH_SECONDS):
                            await self._take(message)
            except Stopped:
                return
            except FAILURES as error:
                failures += 1
                if failures == 1:
                    log.warning("no jobs can be had", extra={"error": type(error).__name__})
                await asyncio.sleep(min(2.0, 0.2 * 2**failures))
            except Exception:
                log.exception("unforeseen; the message comes again")
                await asyncio.sleep(1.0)

    async def _take(self, message: Msg) -> None:
        delivery = Delivery(message, message.metadata.num_delivered)
        async with _in_progress(message):
            outcome = await self._outcome(delivery)
        metrics.JOBS.labels(outcome).inc()
        if outcome == "again":
            await message.nak(delay=pause_before(delivery.attempt))
            return
        await message.ack_sync(timeout=2.0)

    async def _outcome(self, delivery: Delivery) -> str:
        """How the delivery ended: done, known, gone, dead, or again."""
        try:
            job = delivery.name
        except Poison as poison:
            return await self._bury(delivery, None, str(poison))
        if delivery.attempt > TRIES and not await self._patiently(self._tasks.over, job):
            return await self._bury(delivery, job, f"its worker died {TRIES} times over it")
        try:
            outcome: str = await self._patiently(self._tasks.do, job)
        except Hopeless as error:
            return await self._bury(delivery, job, str(error))
        except Stopped:
            raise  # no failure of the job's
        except Exception as error:
            log.exception("a job failed", extra={"job": str(job.job), "attempt": delivery.attempt})
            if delivery.attempt < TRIES:
                return "again"
            return await self._bury(delivery, job, f"failed {TRIES} times: {error}")
        log.info("job %s", outcome, extra={"job": str(job.job), "attempt": delivery.attempt})
        return outcome

    async def _bury(self, delivery: Delivery, job: Name | None, why: str) -> str:
        """Keep the message among the dead letters, and only then be done with it."""
        message = delivery.message
        place = message.metadata
        headers = {
            # of the message, not of the try: kept once, however often this is repeated. With its
            # time: a stream that was made anew counts from one again
            "Nats-Msg-Id": f"{place.stream}-{place.sequence.stream}-{place.timestamp.timestamp()}",
            "Infraforge-Subject": message.subject,
            "Infraforge-Reason": why.encode("ascii", "replace").decode()[:500],
            "Infraforge-Deliveries": str(delivery.attempt),
        }
        client = await self._bus.client()
        await client.jetstream(timeout=2.0).publish(DEAD, message.data, headers=headers)
        log.warning("dead letter: %s", why, extra={"job": str(job.job) if job else ""})
        # after it: a worker that dies in between is followed by one that does both again
        return await self._patiently(self._tasks.give_up, job, why) if job else "dead"

    async def _patiently(self, work, *arguments):  # type: ignore[no-untyped-def]
        """What `work` returns, in a thread; again for as long as what it needs is away."""
        pause = 0.25
        while True:
            try:
                return await asyncio.to_thread(work, *arguments)
            except (Unavailable, OutcomeUnknown) as error:
                log.info("a job waits: %s", error.detail)
            if self._stopping:
                raise Stopped
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)


@contextlib.asynccontextmanager
async def _in_progress(message: Msg) -> AsyncIterator[None]:
    """While the block runs, the stream knows that the message is being worked on."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(_ALIVE_EVERY)
            with contextlib.suppress(*FAILURES):
                await message.in_progress()

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
