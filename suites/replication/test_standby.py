"""What becomes of commits when the standby that they wait for stands still."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.components.postgres import Postgres
from infraforge.verdict import control
from infraforge.wait import seconds
from infraforge.workloads.commits import Commits

LET_GO = seconds(5)  # wal_sender_timeout
RESUMED = LET_GO + seconds(2)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_commits_resume_when_the_synchronous_standby_freezes(platform, nemesis, evidence):
    """Commits wait for a silent standby for 5 s; within 2 s more for another one, or nobody."""
    with Postgres().connect(platform.site) as connection, Commits(connection) as commits:
        commits.until(20)
        nemesis.inject(faults.FreezeMember(faults.Role.SYNCHRONOUS))
        commits.until(20, within=RESUMED * 10)
    nemesis.heal()
    longest = commits.longest_gap
    evidence.attach(longest_gap_s=f"{longest:.2f}", commits=str(commits.acknowledged))
    control(longest > 1.0, f"no commit waited for the frozen standby ({longest:.2f} s at most)")
    assert longest <= RESUMED
