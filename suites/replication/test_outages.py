"""Outages of PostgreSQL's surroundings: who may go on, who must not, and what people notice."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.checkers import RecoversWithin, no_request_failed, no_stale_read
from infraforge.components.postgres import Postgres
from infraforge.faults import Role
from infraforge.judging import judge
from infraforge.probes import digests
from infraforge.verdict import check, control, in_time
from infraforge.wait import Deadline, seconds
from infraforge.workloads import register, steady

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-CP-10"),
]

LOCK = seconds(20)  # ttl: how long a primary holds the lock that it cannot prolong
CRASH = seconds(6)  # until another member takes writes, see test_under_load.py
CLIENTS = seconds(5)  # until the backend's pool of connections has followed
STILL = seconds(60)  # in which no row changes for as long as it takes to compare it
# A round of the API that flaps (5 + 1 s), the primary's look and its status round, and the same
# look once more: until commits wait for another standby than one that left.
FLAP = seconds(5 + 1 + 1 + 2 + 1)
MORE = 60


def test_an_absent_api_demotes_nobody(trial, platform, nemesis, evidence):
    """While no member reaches the Kubernetes API, the primary stays, and no client notices."""
    before = Postgres().primary(platform.site)
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.ApiAway())
            stays(load, LOCK + seconds(10))
            nemesis.heal()
            load.until(acknowledged=MORE)
        verdict = tried.judge(evidence, nemesis, no_request_failed)
    assert verdict.holds, verdict.explain()
    assert Postgres().primary(platform.site) == before


def test_a_flapping_api_demotes_nobody(trial, platform, nemesis, evidence):
    """The Kubernetes API is away for 5 of each 6 seconds: the primary stays, and commits go on.

    A standby that hears of no renewal for as long as the lock lasts takes it for ended, and leaves
    the primary until it hears of one. Commits wait for it until another standby takes its place.
    """
    lasts = 60
    before = Postgres().primary(platform.site)
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.ApiFlaps(seconds=lasts))
            stays(load, seconds(lasts))
            nemesis.heal()
            load.until(acknowledged=MORE)
        verdict = tried.judge(evidence, nemesis, RecoversWithin(FLAP))
    assert verdict.holds, verdict.explain()
    assert Postgres().primary(platform.site) == before


def test_two_members_at_once_refuse_writes(trial, nemesis, evidence):
    """Without primary and synchronous standby nobody acknowledges anything; with them all is there.

    The third member may lack what the two had acknowledged, so it must not lead.
    """
    both = (faults.HoldMemberDown(Role.PRIMARY), faults.HoldMemberDown(Role.SYNCHRONOUS))
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.Together(both))
            before = load.acknowledged
            stays(load, LOCK + seconds(5))
            meanwhile = load.acknowledged - before
            nemesis.heal()
            load.until(acknowledged=MORE, within=4 * LOCK, broken=True)
        verdict = tried.judge(evidence, nemesis)
    assert verdict.holds, verdict.explain()
    assert meanwhile == 0


def test_standbys_answer_reads_while_the_primary_is_away(trial, nemesis, evidence):
    """Who reads from a standby is answered throughout, however long no member takes writes."""
    with trial(standby_readers=2) as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.FreezeMember(Role.PRIMARY))
            load.until(acknowledged=MORE, within=4 * LOCK)
            nemesis.heal()
        verdict = tried.judge(evidence, nemesis, RecoversWithin(seconds(3), "standby_read"))
    assert verdict.holds, verdict.explain()


def test_a_former_primary_has_the_same_rows(trial, platform, nemesis, evidence):
    """After a crash under load all members have the same rows, and indexes that fit them."""
    site = platform.site
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.KillPostmaster())
            load.until(acknowledged=MORE, within=4 * CRASH)
            nemesis.heal()
        verdict = tried.judge(evidence, nemesis)
        rows, indexes = digests.of_members(site, STILL), digests.indexes(site)
    assert verdict.holds, verdict.explain()
    primary = Postgres().primary(site)
    of_primary = {row: value for (row, pod), value in rows.items() if pod == primary}
    control(of_primary, "no table was compared")
    judge(rows, {cell: of_primary[cell[0]] for cell in rows}, evidence)
    judge(indexes, dict.fromkeys(indexes, ""), evidence)


def test_a_person_is_told_nothing_wrong(visitor, developer, project, nemesis, evidence):
    """At the front door every answer is true or an honest 503, and 503s end within a budget."""
    asked = {
        "who am I": "/api/me",
        "project": f"/api/projects/{project.id}",
        "projects": "/api/projects",
    }
    with (
        steady.Users(visitor, asked) as users,
        register.Load(developer, [project.id], readers=1, writers=1) as load,
    ):
        users.until(answers=5)
        load.until(writes=5)
        nemesis.inject(faults.KillPostmaster())
        users.until(answers=20)
        load.until(writes=10)
        nemesis.heal()
        users.until(answers=5)
    fared = users.fared
    fresh = check(load.history, no_stale_read)
    evidence.attach(load.history + nemesis.history, fresh, fared=fared)
    assert fared.dishonest == {}
    assert fresh.holds, fresh.explain()
    in_time(max(fared.longest.values()), CRASH + CLIENTS, "all kinds of answers came again")


def stays(load, lasting: float) -> None:
    """Leave the fault for so long. Raises Inconclusive where the load itself fails meanwhile."""
    deadline = Deadline(lasting)
    while not deadline.passed:
        deadline.pause(1.0)
        load.complain()
