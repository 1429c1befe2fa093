"""The outbox and its relay over a real PostgreSQL; the bus is a model: slow, away, forgetful."""

from __future__ import annotations

import importlib
import json
import threading
import uuid
from typing import Any

import pytest

from infraforge.selftests import backend_world

outbox = importlib.import_module("infraforge_backend.outbox")
relay = importlib.import_module("infraforge_backend.relay")
tasks = importlib.import_module("infraforge_backend.tasks")
migrations = importlib.import_module("infraforge_backend.migrations")
problems = importlib.import_module("infraforge_shared.problems")

PROJECT = uuid.UUID(int=7)


class Bus:
    """A stream that takes each id once, and says how often it was told. The clock is its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slow = 0.0  # seconds of the clock that a message takes
        self.really_slow = 0.0  # seconds of the wall's
        self.away = False
        self.taken: list[tuple[str, str]] = []
        self.offered: list[str] = []

    def clock(self) -> float:
        return self.now

    def publish(self, subject: str, payload: str, message_id: str) -> None:
        self.now += self.slow
        if self.really_slow:
            threading.Event().wait(self.really_slow)
        if self.away:
            raise problems.Unavailable("the bus is away")
        self.offered.append(message_id)
        if message_id not in {known for known, _ in self.taken}:
            self.taken.append((message_id, payload))

    @property
    def jobs(self) -> list[str]:
        """What workers are sent: payloads."""
        return [payload for _, payload in self.taken if '"row"' in payload]

    @property
    def ids(self) -> list[str]:
        return [message_id for message_id, _ in self.taken]


@pytest.fixture
def database(running: backend_world.Server) -> backend_world.Database:
    running.fresh()
    made = backend_world.Database(running, idle_seconds=0.5)
    made.write((), migrations.apply)
    return made


def carrier(database: Any, bus: Bus) -> Any:
    return relay.Relay(database, bus, 120.0, bus.clock)


def fill(database: Any, count: int) -> list[str]:
    ids = [f"{n:04}" for n in range(count)]
    database.write((), lambda c: [outbox.leave(c, "events.x", "{}", one) for one in ids])
    return ids


def waits(database: Any) -> list[str]:
    rows = database.read(
        lambda c: c.execute("SELECT message_id FROM outbox ORDER BY id").fetchall()
    )
    return [row["message_id"] for row in rows]


def drain(one: Any, most: int = 50) -> int:
    """How many batches it took until there was no more."""
    for batch in range(most):
        if not one.carry():
            return batch
    raise AssertionError("there was always more")


def test_a_bus_slower_than_the_transactions_idle_limit_does_no_harm(database: Any) -> None:
    """Each message takes longer than the server lets a transaction wait (0.5 s here, 5 s there)."""
    bus = Bus()
    bus.really_slow = 0.8
    ids = fill(database, 2)
    assert not carrier(database, bus).carry()
    assert (bus.ids, waits(database)) == (ids, [])


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.5, 1.5, 4.0])
def test_all_goes_out_once_and_in_order_however_slow_the_bus(database: Any, seconds: float) -> None:
    bus = Bus()
    bus.slow = seconds
    ids = fill(database, 120)
    assert drain(carrier(database, bus), 200) >= 2
    assert (bus.offered, waits(database)) == (ids, [])


def test_a_batch_ends_within_its_turn(database: Any) -> None:
    """Even where the last message takes as long as the bus is ever waited for."""
    bus = Bus()
    bus.slow = 4.0
    fill(database, 50)
    began = bus.now
    assert carrier(database, bus).carry()
    assert bus.now - began <= relay.BUDGET + 4.0 < relay.TURN
    assert 0 < len(bus.ids) < 50
    assert len(waits(database)) == 50 - len(bus.ids)


def test_events_confirmed_before_an_outage_are_not_sent_again(database: Any) -> None:
    bus = Bus()
    ids = fill(database, 3)
    first = bus.publish

    def once(*message: str) -> None:
        first(*message)
        bus.away = True

    bus.publish = once  # type: ignore[method-assign]
    one = carrier(database, bus)
    assert not one.carry()
    assert waits(database) == ids[1:]
    bus.away, bus.publish = False, first  # type: ignore[method-assign]
    drain(one)
    assert (bus.offered, waits(database)) == (ids, [])


def test_one_process_at_a_time_has_the_turn(database: Any) -> None:
    """While one publishes another does not; one that died over it is followed after its turn."""
    bus = Bus()
    ids = fill(database, 4)
    one, other = carrier(database, bus), carrier(database, bus)
    seen: list[bool] = []
    publish = bus.publish

    def beside(*message: str) -> None:
        seen.append(other.carry())
        publish(*message)

    bus.publish = beside  # type: ignore[method-assign]
    drain(one)
    assert (bus.offered, seen) == (ids, [False] * 4)
    more = fill_more(database)
    database.write((), one._take)  # and dies
    assert not other.carry()
    assert waits(database) == more
    database.write((), lambda c: c.execute("UPDATE relay_turn SET until = now()"))
    bus.publish = publish  # type: ignore[method-assign]
    drain(other)
    assert bus.offered == [*ids, *more]


def test_a_process_that_dies_after_publishing_has_no_second_effect(database: Any) -> None:
    bus = Bus()
    ids = fill(database, 3)
    one, other = carrier(database, bus), carrier(database, bus)
    rows = database.write((), one._take)
    one._publish(rows, bus.now + 5, [])  # and dies before it settles
    database.write((), lambda c: c.execute("UPDATE relay_turn SET until = now()"))
    drain(other)
    assert (bus.ids, waits(database)) == (ids, [])
    assert bus.offered == [*ids, *ids]


# jobs


def ask(database: Any, job: uuid.UUID, project: uuid.UUID = PROJECT) -> Any:
    """A project with a job, as the backend writes them; the job's row."""

    def insert(connection: Any) -> Any:
        connection.execute(
            "INSERT INTO projects (id, name, description, created_by) VALUES (%s, 'p', '', 'd')"
            " ON CONFLICT DO NOTHING",
            (project,),
        )
        row = connection.execute(
            "INSERT INTO jobs (id, project_id, kind, created_by) VALUES (%s, %s, 'report', 'd')"
            " RETURNING id, row_id, kind, tellings",
            (job, project),
        ).fetchone()
        relay.tell_of(connection, row)
        return row

    return database.write((), insert)


def name_in(payload: str) -> Any:
    message = json.loads(payload)
    return tasks.Name(uuid.UUID(message["job"]), uuid.UUID(message["row"]))


def states(database: Any) -> dict[str, str]:
    rows = database.read(lambda c: c.execute("SELECT id, state FROM jobs").fetchall())
    return {str(row["id"]): row["state"] for row in rows}


def older(database: Any, seconds: float) -> None:
    change = "UPDATE jobs SET created_at = created_at - make_interval(secs => %s),"
    change += " told_at = told_at - make_interval(secs => %s)"
    database.write((), lambda c: c.execute(change, (seconds, seconds)))


def test_a_jobs_id_that_comes_again_is_another_job(database: Any) -> None:
    """Done, deleted with its project, asked for in another: the stream takes its message, too."""
    bus, worker = Bus(), tasks.Tasks(database, None)
    one, job, other = carrier(database, bus), uuid.uuid4(), uuid.UUID(int=8)
    ask(database, job)
    drain(one)
    (first,) = bus.jobs
    assert worker.do(name_in(first)) == "done"
    database.write((), lambda c: c.execute("DELETE FROM projects WHERE id = %s", (PROJECT,)))
    ask(database, job, other)
    drain(one)
    again = bus.jobs[1]
    # the old message, delivered late, is nothing to the new job: neither done nor given up by it
    assert worker.do(name_in(first)) == "gone"
    assert worker.give_up(name_in(first), "its worker died") == "gone"
    assert worker.over(name_in(first))
    assert states(database) == {str(job): "queued"}
    assert worker.do(name_in(again)) == "done"
    assert worker.do(name_in(again)) == "known"


def test_an_id_comes_again_while_the_bus_is_away(database: Any) -> None:
    """The first message is still in the outbox when the second is left."""
    job, bus = uuid.uuid4(), Bus()
    ask(database, job)
    database.write((), lambda c: c.execute("DELETE FROM projects WHERE id = %s", (PROJECT,)))
    ask(database, job, uuid.UUID(int=8))
    drain(carrier(database, bus))
    worker = tasks.Tasks(database, None)
    assert [worker.do(name_in(payload)) for payload in bus.jobs] == ["gone", "done"]


def test_a_message_from_before_rows_had_a_name_is_understood(database: Any) -> None:
    job = uuid.uuid4()
    ask(database, job)
    assert tasks.Tasks(database, None).do(tasks.Name(job)) == "done"


def test_a_hundred_jobs_whose_messages_are_lost_are_done_all_the_same(database: Any) -> None:
    """Told of again after the stated time, and not before; each is done once."""
    bus, worker = Bus(), tasks.Tasks(database, None)
    one = carrier(database, bus)
    jobs = [uuid.uuid4() for _ in range(100)]
    for job in jobs:
        ask(database, job)
    drain(one)
    lost, bus.taken[:] = list(bus.taken), []  # the stream is emptied; it still knows the ids
    known = {message_id for message_id, _ in lost}
    older(database, 90)
    assert database.write((), lambda c: relay.retell(c, 120)) == 0
    older(database, 31)
    assert sum(database.write((), lambda c: relay.retell(c, 120)) for _ in range(3)) == 100
    drain(one)
    assert not known & set(bus.ids), "the stream would take them for repetitions"
    outcomes = [worker.do(name_in(payload)) for payload in bus.jobs]
    assert outcomes == ["done"] * 100
    assert [worker.do(name_in(payload)) for _, payload in lost] == ["known"] * 100
    assert set(states(database).values()) == {"done"}


def test_a_long_queue_is_not_filled_by_repetition(database: Any) -> None:
    """A day without a worker, looked at every ten minutes: told of some ten times, not 144."""
    ask(database, uuid.uuid4())
    told = 0
    drain(carrier(database, Bus()))
    for _ in range(24 * 6):
        older(database, 600)
        told += database.write((), lambda c: relay.retell(c, 120))
        drain(carrier(database, Bus()))
    assert 5 <= told <= 11


def test_jobs_unpublished_or_done_are_not_announced_again(database: Any) -> None:
    ask(database, uuid.uuid4())
    older(database, 500)
    assert database.write((), lambda c: relay.retell(c, 120)) == 0  # the bus is away
    done = uuid.uuid4()
    ask(database, done)
    bus = Bus()
    drain(carrier(database, bus))
    tasks.Tasks(database, None).do(name_in(bus.jobs[1]))
    older(database, 500)
    assert database.write((), lambda c: relay.retell(c, 120)) == 1  # the first alone


def fill_more(database: Any) -> list[str]:
    ids = ["more-1", "more-2"]
    database.write((), lambda c: [outbox.leave(c, "events.x", "{}", one) for one in ids])
    return ids
