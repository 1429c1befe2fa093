"""What takes minutes to befall PostgreSQL's members: nothing acknowledged is lost by it either.

A node that is paused or cut off, all members replaced one after the other, a failover while the CA
is replaced. `tox -e chaos -- --profile enterprise` runs them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from infraforge import faults, session, stack
from infraforge.checkers import RecoversWithin
from infraforge.components import containers, members
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError, Inconclusive
from infraforge.history import NEMESIS
from infraforge.recorder import Recorder
from infraforge.stack import Platform
from infraforge.trial import Trial
from infraforge.verdict import control
from infraforge.wait import Deadline, minutes, seconds, wait_until
from infraforge.workloads.platform_client import PlatformClient

COMPONENTS = ("postgres/replicated",)
pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-CP-10"),
]
NODE = seconds(35)  # ttl, a look, the status of a silent member, clients' way: 24 s; DNS on top
CRASH = seconds(6)
FLAP = seconds(10)  # see suites/replication/test_outages.py
MORE = 60


@pytest.fixture
def trial(platform: Platform, request: pytest.FixtureRequest) -> Callable[..., Trial]:
    """Makes a trial; its parameters are the load's."""
    if len(members.of(platform.profile)) < 2:
        pytest.skip(f"needs several members; profile {platform.profile.name} has one")
    watch = request.config.stash[session.WATCH]
    return lambda **load: Trial(platform.site, watch, **load)


@pytest.mark.parametrize("how", ["paused", "cut off"], ids=["paused", "cut-off"])
def test_the_primary_s_node_is_lost(trial, nemesis, evidence, how):
    """A node that is lost with the primary costs no acknowledged commit, and commits go on."""
    fault = faults.PauseNode() if how == "paused" else faults.CutNodeOff()
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(fault)
            load.until(acknowledged=MORE, within=4 * NODE, broken=True)
            nemesis.heal()
            load.until(acknowledged=MORE)
        verdict = tried.judge(evidence, nemesis, RecoversWithin(NODE))
    assert verdict.holds, verdict.explain()


def test_an_api_that_flaps_for_minutes_demotes_nobody(trial, platform, nemesis, evidence):
    """The Kubernetes API is away for 5 of each 6 seconds, for 3 minutes: the primary stays.

    Commits may wait for a standby that took the lock for ended, until another takes its place.
    """
    lasts = 180
    before = Postgres().primary(platform.site)
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            nemesis.inject(faults.ApiFlaps(seconds=lasts))
            deadline = Deadline(seconds(lasts))
            while not deadline.passed:
                deadline.pause(1.0)
                load.complain()
            nemesis.heal()
            load.until(acknowledged=MORE)
        verdict = tried.judge(evidence, nemesis, RecoversWithin(FLAP))
    assert verdict.holds, verdict.explain()
    assert Postgres().primary(platform.site) == before


def test_all_members_are_replaced_under_load(trial, platform, admin, nemesis, evidence):
    """The platform API restarts PostgreSQL: one member after the other, and nothing is lost."""
    site, number = platform.site, len(members.of(platform.profile))
    user = PlatformClient(admin.session, platform.origin)
    before = uids(site)
    control(len(before) == number, f"{len(before)} of {number} members are there")
    replacing = Recorder()
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            with replacing.call(NEMESIS, "restart PostgreSQL by the platform API") as call:
                user.restart("postgres")
                wait_until(
                    lambda: replaced(site, before, number),
                    within=minutes(5),
                    every=1.0,
                    ignoring=(ClusterError,),
                    what="all members are new, and stream",
                    broken=True,
                )
                call.ok("all members are new")
            load.until(acknowledged=MORE)
        verdict = tried.judge(evidence, nemesis, RecoversWithin(CRASH), others=(replacing.history,))
    assert verdict.holds, verdict.explain()


def test_a_failover_while_the_ca_is_replaced(trial, platform, nemesis, evidence):
    """With two CAs in force another member takes over in time, and nothing acknowledged is lost."""
    name, former = platform.cluster.name, platform.site.authority.certificate
    control(not stack.ca_phase(name), "an earlier replacement of the CA is not over")
    failed: list[BaseException] = []

    def replace() -> None:
        try:
            stack.replace_ca(name)
        except BaseException as error:  # noqa: BLE001 - told below, where it is unknown
            failed.append(error)

    work = threading.Thread(target=replace, name="replace-ca")
    with trial() as tried:
        with tried.load as load:
            load.until(acknowledged=MORE)
            work.start()
            wait_until(
                lambda: stack.ca_phase(name) == "issue",
                within=minutes(5),
                what="both CAs are trusted, and the new one issues",
            )
            load.trust()
            nemesis.inject(faults.KillPostmaster())
            load.until(acknowledged=MORE, within=10 * CRASH, broken=True)
            while work.is_alive():
                work.join(1.0)
                load.trust()
            nemesis.heal()
            platform.site.authority = stack.authority(name)  # later tests use it, too
            load.until(acknowledged=MORE)
        if failed:
            raise Inconclusive(f"the CA was not replaced: {failed[0]}") from failed[0]
        verdict = tried.judge(evidence, nemesis, RecoversWithin(CRASH))
    assert verdict.holds, verdict.explain()
    assert platform.site.authority.certificate != former


def uids(site) -> set[str]:
    return {str(pod.metadata.uid) for pod in containers.pods(site, members.COMPONENT)}


def replaced(site, before: set[str], number: int) -> bool:
    """Whether all members are others than before, and stream."""
    now = uids(site)
    return len(now) == number and not now & before and Postgres().look(site).whole(number)
