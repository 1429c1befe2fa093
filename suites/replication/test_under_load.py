"""What clients of PostgreSQL see while its members fall: nothing acknowledged is ever lost.

Writers and readers name every member, in a pod of the platform's own network. What they were told
is judged from one history: no acknowledged row is missing on any member, none is there that nobody
wrote, no read is stale, and no two members answer as primary at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from infraforge import faults
from infraforge.checkers import RecoversWithin, recovery_is_explained
from infraforge.components import members
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError
from infraforge.faults import From, Role
from infraforge.faults.base import Fault
from infraforge.wait import Deadline, seconds, wait_until

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-CP-10"),
]

# The terms that a budget is made of; each setting is explained in Patroni's own files.
LOCK = seconds(20)  # ttl: a primary that falls silent holds the lock for so long
LOOK = seconds(1)  # loop_wait: how late a member looks
STATUS = seconds(2)  # how long the others wait for the status of a member that is silent
PROMOTED = seconds(1)  # promotion, and clients' way to another member
LET_GO = seconds(5)  # wal_sender_timeout: a standby that falls silent is waited for so long

CRASH = 2 * LOOK + STATUS + 2 * PROMOTED  # 6 s
SILENT = LOCK + LOOK + STATUS + PROMOTED  # 24 s
STANDBY = LET_GO + LOOK + PROMOTED  # 7 s
PLANNED = LOOK + STATUS  # 3 s: a checkpoint, a pause of one second, the promotion
MORE = 60


@dataclass(frozen=True)
class Case:
    """What befalls the members, and within how many seconds commits are acknowledged again.

    lasts: seconds for which it is left so at least; promotes: whether another member takes over,
    which then explains the time without commits.
    """

    fault: Fault
    within: float
    lasts: float = 0.0
    promotes: bool = True


CRASHES = {
    "postmaster-killed": Case(faults.KillPostmaster(), CRASH),
    "pod-killed": Case(faults.KillMember(), CRASH),
    "held-down": Case(faults.HoldMemberDown(), SILENT),
    "crashed": Case(faults.CrashMember(), SILENT),
}
SILENCES = {
    "patroni-frozen": Case(faults.FreezePatroni(), SILENT, SILENT, promotes=False),
    "frozen": Case(faults.FreezeMember(), SILENT),
    "cut-off": Case(faults.CutOff(Role.PRIMARY, From.EVERYBODY), SILENT),
    "without-peers": Case(faults.CutOff(Role.PRIMARY, From.PEERS), SILENT, SILENT, promotes=False),
    "without-api": Case(faults.CutOff(Role.PRIMARY, From.API), SILENT, SILENT, promotes=False),
}
STANDBYS = {
    "crashed": Case(faults.CrashMember(Role.SYNCHRONOUS), STANDBY, promotes=False),
    "frozen": Case(faults.FreezeMember(Role.SYNCHRONOUS), STANDBY, promotes=False),
    "cut-off": Case(faults.CutOff(Role.SYNCHRONOUS, From.EVERYBODY), STANDBY, promotes=False),
}


@pytest.mark.parametrize("how", CRASHES)
def test_a_primary_that_dies_takes_no_acknowledged_commit_with_it(
    platform, trial, nemesis, evidence, how
):
    """All that was acknowledged before a primary died is kept, and commits go on in time."""
    goes_on(platform, trial, nemesis, evidence, CRASHES[how])


@pytest.mark.parametrize("how", SILENCES)
def test_a_primary_that_falls_silent_acknowledges_nothing_that_is_lost(
    platform, trial, nemesis, evidence, how
):
    """A frozen or isolated primary answers nobody wrongly, and commits go on in time."""
    goes_on(platform, trial, nemesis, evidence, SILENCES[how])


@pytest.mark.parametrize("how", STANDBYS)
def test_a_standby_that_fails_holds_up_no_commit_for_long(platform, trial, nemesis, evidence, how):
    """Commits wait for a synchronous standby that fails until it is let go of, and none is lost."""
    goes_on(platform, trial, nemesis, evidence, STANDBYS[how])


def test_a_switchover_takes_no_acknowledged_commit_with_it(platform, trial, nemesis, evidence):
    """A planned change of the primary loses nothing, and stops commits for seconds at most."""
    goes_on(platform, trial, nemesis, evidence, Case(faults.Switchover(), PLANNED))


def goes_on(platform, trial, nemesis, evidence, case: Case) -> None:
    """Under load: the fault, commits again, its end, all members again; then the verdict."""
    number = len(members.of(platform.profile))
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.Unawaited(case.fault))
            left = Deadline(case.lasts)
            load.until(acknowledged=MORE, within=4 * case.within, broken=True)
            while not left.passed:
                left.pause(1.0)
                load.complain()
            nemesis.heal()
            wait_until(
                lambda: Postgres().look(platform.site).whole(number),
                platform.profile.budgets.rejoin,
                what=f"all {number} members stream again",
                every=0.5,
                ignoring=(ClusterError,),
                broken=True,
            )
            load.until(acknowledged=MORE, within=4 * case.within, broken=True)
        explained = [recovery_is_explained] if case.promotes else []
        verdict = tried.judge(evidence, nemesis, RecoversWithin(case.within), *explained)
    assert verdict.holds, verdict.explain()
