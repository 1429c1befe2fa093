"""The worker without a queue: how it handles each delivery, and what it never does early."""

from __future__ import annotations

import asyncio
import datetime
import importlib
import json
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401

worker = importlib.import_module("infraforge_backend.worker")
tasks = importlib.import_module("infraforge_backend.tasks")
jobs = importlib.import_module("infraforge_backend.jobs")
problems = importlib.import_module("infraforge_shared.problems")
validation = importlib.import_module("infraforge_backend.validation")

JOB = uuid.UUID("00000000-0000-4000-8000-000000000001")


class Stream:
    """The bus, the message and the tasks in one: notes in which order things are done."""

    def __init__(self, *answers: Any, attempt: int = 1, data: bytes | None = None) -> None:
        self.log: list[str] = []
        self.answers = list(answers)
        self.data = json.dumps({"job": str(JOB)}).encode() if data is None else data
        self.subject = "jobs.report"
        self.metadata = SimpleNamespace(
            num_delivered=attempt,
            stream="JOBS",
            sequence=SimpleNamespace(stream=7),
            timestamp=datetime.datetime.fromtimestamp(1.5, datetime.UTC),
        )
        self.buried: list[tuple[str, bytes, dict[str, str]]] = []

    # the tasks
    def do(self, name: Any) -> str:
        assert name == tasks.Name(JOB)
        self.log.append("do")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    def give_up(self, name: Any, why: str) -> str:
        self.log.append("give up")
        return "dead"

    def over(self, name: Any) -> bool:
        return False

    # the message
    async def ack_sync(self, timeout: float) -> None:
        self.log.append("ack")

    async def nak(self, delay: float) -> None:
        self.log.append(f"again in {delay:g}")

    async def in_progress(self) -> None:
        self.log.append("in progress")

    # the bus
    async def client(self) -> Stream:
        return self

    def jetstream(self, timeout: float) -> Stream:
        return self

    async def publish(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        self.log.append("bury")
        self.buried.append((subject, data, headers))


def deliver(stream: Stream) -> list[str]:
    asyncio.run(worker.Worker(stream, stream)._take(stream))
    return stream.log


def test_a_job_is_acknowledged_after_it_is_done() -> None:
    assert deliver(Stream("done")) == ["do", "ack"]


@pytest.mark.parametrize("outcome", ["known", "gone"])
def test_a_job_already_done_is_acknowledged(outcome: str) -> None:
    assert deliver(Stream(outcome)) == ["do", "ack"]


def test_a_job_that_fails_comes_again_later_and_later() -> None:
    waits = [deliver(Stream(RuntimeError("x"), attempt=n))[-1] for n in range(1, worker.TRIES)]
    assert waits == ["again in 1", "again in 2", "again in 4", "again in 8"]
    assert worker.pause_before(50) == 30


def test_a_job_that_failed_as_often_as_it_may_is_buried_before_it_is_acknowledged() -> None:
    stream = Stream(RuntimeError("x"), attempt=worker.TRIES)
    assert deliver(stream) == ["do", "bury", "give up", "ack"]
    subject, data, headers = stream.buried[0]
    assert (subject, data) == ("deadletters.jobs", stream.data)
    assert headers["Infraforge-Reason"] == "failed 5 times: x"
    assert headers["Nats-Msg-Id"] == "JOBS-7-1.5"


def test_a_hopeless_job_is_buried_at_once() -> None:
    assert deliver(Stream(tasks.Hopeless("no file"))) == ["do", "bury", "give up", "ack"]


def test_a_job_that_killed_its_workers_is_not_tried_again() -> None:
    assert deliver(Stream(attempt=worker.TRIES + 1)) == ["bury", "give up", "ack"]


def test_an_outage_of_a_dependency_uses_up_no_attempt() -> None:
    away = problems.Unavailable("away")
    stream = Stream(away, away, "done", attempt=worker.TRIES)
    assert deliver(stream) == ["do", "do", "do", "ack"]


def test_a_worker_that_is_stopped_leaves_a_waiting_job_for_another() -> None:
    stream = Stream(problems.Unavailable("away"), attempt=worker.TRIES)
    stopped = worker.Worker(stream, stream)
    stopped.stop()
    with pytest.raises(worker.Stopped):
        asyncio.run(stopped._take(stream))
    assert stream.log == ["do"]


@pytest.mark.parametrize(
    "data", [b"", b"x", b"[]", b"null", b'{"job": 1}', b'{"job": "x"}', b"\xff", b"[" * 5000]
)
def test_a_poison_message_is_buried_whole(data: bytes) -> None:
    stream = Stream(data=data)
    assert deliver(stream) == ["bury", "ack"]
    assert stream.buried[0][1] == data


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "JSON object"),
        ({}, "kind"),
        ({"kind": ["report"]}, "kind"),
        ({"kind": "thumbnail"}, "kind"),
        ({"kind": "checksum"}, "file"),
        ({"kind": "checksum", "file": 1}, "file"),
        ({"kind": "checksum", "file": "a/b"}, "slashes"),
        ({"kind": "report", "file": "a"}, "whole project"),
        ({"kind": "report", "id": "x"}, "UUID"),
        ({"kind": "report", "id": 1}, "UUID"),
        ({"kind": "report", "priority": 1}, "unknown field"),
    ],
)
def test_what_is_no_job_is_refused(body: object, said: str) -> None:
    with pytest.raises(validation.Invalid, match=said):
        jobs.read_input(body)


def test_a_client_may_name_its_job() -> None:
    assert jobs.read_input({"kind": "report", "id": str(JOB)}).id == JOB
    one, two = (jobs.read_input({"kind": "report"}).id for _ in range(2))
    assert one != two


def test_a_message_names_the_row_that_it_is_about() -> None:
    row = uuid.UUID(int=5)
    message = SimpleNamespace(data=json.dumps({"job": str(JOB), "row": str(row)}).encode())
    assert worker.Delivery(message, 1).name == tasks.Name(JOB, row)


@pytest.mark.parametrize("row", [1, "x", []])
def test_a_message_that_names_no_row_is_poison(row: Any) -> None:
    message = SimpleNamespace(data=json.dumps({"job": str(JOB), "row": row}).encode())
    with pytest.raises(worker.Poison):
        _ = worker.Delivery(message, 1).name
