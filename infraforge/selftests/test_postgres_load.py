"""The load, its watchers and the checkers on a real PostgreSQL that fails over, on loopback."""

from __future__ import annotations

import dataclasses
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.checkers import (
    RecoversWithin,
    acknowledged_writes_kept,
    no_phantom,
    no_stale_read,
    one_primary_at_a_time,
    under_fault,
)
from infraforge.checkers.acknowledged import lost
from infraforge.checkers.recovery import TERMS, recoveries
from infraforge.history import NEMESIS, History
from infraforge.recorder import Recorder
from infraforge.selftests import local_postgres
from infraforge.selftests.local_postgres import LocalPostgres
from infraforge.verdict import Outcome, check
from infraforge.wait import Deadline, seconds, wait_until
from infraforge.workloads.postgresql import Load, Watchers, event
from infraforge.workloads.postgresql.answers import Failed, Unsure

_DETECTS = seconds(0.5)
pytestmark = pytest.mark.skipif(local_postgres.LACKS, reason="needs initdb and postgres, has none")


@pytest.fixture
def postgres() -> Iterator[LocalPostgres]:
    # not in pytest's own folders: any other pytest of this user closes these to the server's user
    with tempfile.TemporaryDirectory(prefix="infraforge-postgres-") as folder:
        made = LocalPostgres(Path(folder))
        try:
            made.create()
            yield made
        finally:
            made.stop()


def failover(postgres: LocalPostgres) -> History:
    """The primary is killed under load, pg-1 promoted by hand; the former primary comes back."""
    nemesis = Recorder()
    load, watchers = Load(postgres.members, pace=0.03, seed=1), Watchers(postgres.members)
    load.prepare()
    with watchers:
        with load:
            load.until(acknowledged=60)
            fault = nemesis.invoke(NEMESIS, "killed", value="pg-0")
            postgres.kill("pg-0")
            fault.ok("pg-0 is gone")
            killed = time.monotonic_ns()
            Deadline(_DETECTS).pause(_DETECTS)  # as a failure detector that gives it some time
            noticed = time.monotonic_ns()
            postgres.promote("pg-1")
            asked = time.monotonic_ns()
            load.until(acknowledged=40)
        healing = nemesis.invoke(NEMESIS, "heal")
        postgres.rewind("pg-0", "pg-1")
        healing.ok("pg-0 follows pg-1")
    return (
        load.history
        + watchers.history
        + nemesis.history
        + event("detected", killed, noticed)
        + event("elected", noticed, asked, "pg-1")
        + load.read_every_member(within=seconds(60))
    )


def test_what_clients_of_a_real_failover_saw_holds(postgres: LocalPostgres) -> None:
    """Every claim of a failover is judged from one history, and this one keeps them all."""
    seen = failover(postgres)
    if kept := os.environ.get("INFRAFORGE_KEEP_HISTORY"):
        Path(kept).write_text(seen.to_lines())
    verdict = check(
        seen,
        under_fault(acknowledged_writes_kept),
        no_phantom,
        no_stale_read,
        one_primary_at_a_time,
        RecoversWithin(seconds(30)),
    )
    print(verdict.explain())
    assert verdict.holds, verdict.explain()
    assert "pg-0 on timeline 1, pg-1 on timeline 2" in verdict.explain()
    (recovery,) = recoveries(seen)  # how much of it they explain depends on the machine
    assert tuple(term.name for term in recovery.terms) == TERMS


def test_two_primaries_and_what_they_lose_are_found(postgres: LocalPostgres) -> None:
    """A standby is promoted beside a primary that goes on acknowledging by itself."""
    postgres.set("pg-0", "synchronous_standby_names", "")
    load = Load(postgres.members, adders=1)
    load.prepare()
    survivors = dataclasses.replace(postgres.members, members=postgres.members.members[1:])
    with load:
        load.until(acknowledged=20)
        postgres.set("pg-1", "primary_conninfo", "")
        wait_until(
            lambda: postgres.value("pg-0", "SELECT count(*) FROM pg_stat_replication") == 0,
            within=seconds(20),
        )
        load.until(acknowledged=20)
        postgres.promote("pg-1")
        other = Load(survivors.only("pg-1")).read_every_member(within=seconds(20))
        load.until(acknowledged=5)
    postgres.kill("pg-0")
    seen = load.history + other + Load(survivors).read_every_member(within=seconds(60))
    split = one_primary_at_a_time(seen)
    assert split.outcome is Outcome.BROKEN, split.explain()
    assert "pg-0 answered as primary of timeline 1 after pg-1 had on timeline 2" in split.explain()
    assert acknowledged_writes_kept(seen).outcome is Outcome.BROKEN
    assert 25 <= (lost(seen) or 0) <= len(seen.of("add"))


def test_each_answer_says_who_gave_it(postgres: LocalPostgres) -> None:
    """Also to a role without rights, and a standby that followed a promotion tells its timeline."""
    found = {}
    for member in postgres.members.members:
        with postgres.members.only(member.name).session("any") as session:
            rows, found[member.name] = session.ask("SELECT 7,")
            assert rows == [(7,)]
    assert {name: (one.timeline, one.role) for name, one in found.items()} == {
        "pg-0": (1, "primary"),
        "pg-1": (1, "standby"),
        "pg-2": (1, "standby"),
    }
    assert {one.member for one in found.values()} == set(found)
    assert len({one.address for one in found.values()}) == 3
    assert len({one.system for one in found.values()}) == 1
    with postgres.connect("pg-0") as connection:
        connection.execute("CREATE ROLE weak LOGIN")
        lsn = str(postgres.value("pg-0", "SELECT pg_current_wal_flush_lsn()::text"))
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"
    wait_until(lambda: postgres.value("pg-2", replayed), within=seconds(20))
    weak = dataclasses.replace(postgres.members, settings={"user": "weak", "dbname": "postgres"})
    for name, origin in found.items():
        with weak.only(name).session("any") as session:
            assert session.ask("SELECT 7,")[1] == origin

    postgres.kill("pg-0")
    postgres.promote("pg-1")
    with postgres.members.only("pg-2").session("any") as session:
        wait_until(lambda: session.ask("SELECT 7,")[1].timeline == 2, within=seconds(20))
        told = "SELECT timeline_id FROM pg_control_checkpoint()"
        assert postgres.value("pg-2", told) == 1, "the last restart point tells the former timeline"
    with postgres.members.session("read-write", timeout=seconds(20)) as session:
        assert (session.ask("SELECT 7,")[1].timeline, session.member) == (2, "pg-1")


def test_what_no_standby_has_is_unsure_and_a_frozen_server_is_left(postgres: LocalPostgres) -> None:
    """A cancelled wait for the standby commits, and warns: neither done nor not done."""
    load = Load(postgres.members)
    load.prepare()
    insert = "INSERT INTO infraforge_load.elements VALUES (%s) RETURNING element,"
    with postgres.members.session("read-write", timeout=seconds(20)) as session:
        assert session.ask(insert, (1,))[0] == [(1,)]
        with pytest.raises(Failed, match="23505"):
            session.ask(insert, (1,))
        postgres.freeze("pg-1")
        backend = session.ask("SELECT pg_backend_pid(),")[0][0][0]
        cancelling = threading.Timer(0.5, _cancel_wait, (postgres, backend))
        cancelling.start()
        with pytest.raises(Unsure, match=r"01000: .*synchronous replication"):
            session.ask(insert, (2,))
        cancelling.join()
        assert session.ask("SELECT array(SELECT element FROM infraforge_load.elements),")[0] == [
            ([1, 2],)
        ]
        postgres.freeze("pg-1", signal.SIGCONT)
    with (
        postgres.members.only("pg-1").session("any") as standby,
        pytest.raises(Failed, match="25006"),
    ):
        standby.ask(insert, (3,))
    with postgres.members.only("pg-0").session("any", timeout=0.5) as session:
        session.connect()
        postgres.freeze("pg-0")
        began = time.monotonic()
        with pytest.raises(Unsure, match="no SQLSTATE"):
            session.ask(insert, (4,))
        assert 0.5 <= time.monotonic() - began < 5
        with pytest.raises(Failed):  # it does not even connect
            session.ask(insert, (5,))


def _cancel_wait(postgres: LocalPostgres, backend: int) -> None:
    """As an administrator does with a commit that hangs, once it waits for the standby."""
    waits = "SELECT array_agg(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    wait_until(lambda: postgres.value("pg-0", waits) == [backend], within=seconds(20))
    postgres.value("pg-0", f"SELECT pg_cancel_backend({backend})")
