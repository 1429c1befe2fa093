"""Commits wait for the synchronous standby, and what becomes of them when it stands still."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.components.postgres import Postgres
from infraforge.verdict import control
from infraforge.wait import Deadline, seconds
from infraforge.workloads.commits import Commits

LET_GO = seconds(5)  # wal_sender_timeout
RESUMED = LET_GO + seconds(2)
LOOK = seconds(1)
COMMITS = 50
_COMMIT = "SELECT pg_logical_emit_message(true, 'infraforge', 'commit')"
_THERE = """
SELECT count(*) FROM pg_stat_replication
WHERE sync_state IN ('sync', 'quorum') AND flush_lsn > %s::pg_lsn
"""


@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "NIST-CP-10")
def test_an_acknowledged_commit_is_on_the_synchronous_standby(platform, evidence):
    """By the time a commit is acknowledged, the standby that it waits for has it on disk."""
    alone = []
    with Postgres().connect(platform.site) as connection:
        for _ in range(COMMITS):
            [(written,)] = connection.execute(_COMMIT).fetchall()  # the commit comes after it
            [(standbys,)] = connection.execute(_THERE, (written,)).fetchall()
            if not standbys:
                alone.append(written)
    evidence.attach(commits=COMMITS, on_the_primary_alone=", ".join(alone) or "none")
    assert not alone


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_commits_resume_when_the_synchronous_standby_freezes(platform, nemesis, evidence):
    """Commits wait for a silent standby for 5 s; within 2 s more for another one, or nobody."""
    with Postgres().connect(platform.site) as connection, Commits(connection) as commits:
        commits.until(20)
        let_go = Deadline(LET_GO)
        nemesis.inject(faults.FreezeMember(faults.Role.SYNCHRONOUS))
        before = commits.acknowledged
        Deadline(LOOK).pause(LOOK)
        went_on = commits.acknowledged - before  # one may have been on its way
        in_time = not let_go.passed
        commits.until(20, within=RESUMED * 10)
    nemesis.heal()
    longest = commits.longest_gap
    evidence.attach(
        longest_gap_s=f"{longest:.2f}", commits=str(commits.acknowledged), went_on=str(went_on)
    )
    assert went_on <= 1 or not in_time, "commits were acknowledged without the frozen standby"
    control(longest > 1.0, f"no commit waited for the frozen standby ({longest:.2f} s at most)")
    assert longest <= RESUMED
