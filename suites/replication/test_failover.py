"""Another member takes over: at the right time, with all who depend on it, and again and again."""

from __future__ import annotations

import hvac
import pytest
import requests

from infraforge import faults
from infraforge.components import members
from infraforge.components.backend import Backend
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError
from infraforge.faults import processes, roles
from infraforge.probes import logins
from infraforge.verdict import control
from infraforge.wait import Deadline, seconds, wait_until

pytestmark = [pytest.mark.exclusive, pytest.mark.control("SOC2-A1.2", "NIST-CP-10")]
LOCK = seconds(19)  # ttl - loop_wait: the soonest that a lock ends which nobody prolongs
FOLLOWED = seconds(30)
ISSUED = seconds(10)
TIMES = 10


def test_a_frozen_patroni_is_killed_before_its_lock_ends(platform, nemesis, evidence):
    """Nobody stops the PostgreSQL of a frozen Patroni but the kubelet, before another may lead."""
    site = platform.site
    target = roles.find(site, faults.Role.PRIMARY)
    beneath = processes.postmaster(processes.of(site, target))
    ends = Deadline(LOCK)
    proof = nemesis.inject(faults.FreezePatroni(target.pod))
    control(not ends.passed, "the fault took so long that the lock may have ended before it")
    wait_until(
        lambda: not processes.runs(site, target.node, beneath),
        ends,
        what=f"the PostgreSQL below the frozen Patroni of {target.pod} is gone",
        broken=True,
    )
    evidence.attach(proof=proof, left=f"{ends.left:.1f} s before the lock's end")
    nemesis.heal()


def test_a_former_primary_rejoins_ten_times_in_a_row(platform, nemesis, evidence):
    """Each time the postmaster is killed another leads, and the former one streams from it."""
    site, number = platform.site, len(members.of(platform.profile))
    led = []
    for _ in range(TIMES):
        led.append(Postgres().primary(site))
        nemesis.inject(faults.KillPostmaster(led[-1]))
        wait_until(
            lambda: another_leads(site, led[-1], number),
            platform.profile.budgets.rejoin,
            what=f"another than {led[-1]} leads, and all {number} members stream",
            every=0.5,
            ignoring=(ClusterError,),
            broken=True,
        )
        nemesis.heal()
    evidence.attach(led=", ".join(led))


def test_vault_issues_and_revokes_logins_right_after_a_failover(platform, nemesis, evidence):
    """Within 10 s of another member's promotion a login is leased, gets in, and is revoked."""
    site = platform.site
    old = Postgres().primary(site)
    nemesis.inject(faults.KillPostmaster(old))
    new = wait_until(
        lambda: Postgres().primary(site).removeprefix(old),
        platform.profile.budgets.rejoin,
        what=f"another than {old} takes writes",
        ignoring=(ClusterError,),
        broken=True,
    )
    made = wait_until(
        lambda: Backend().new_login(site),
        ISSUED,
        what="Vault leases a login",
        ignoring=(ClusterError, hvac.exceptions.VaultError, requests.RequestException),
        broken=True,
    )
    let_in = logins.refusal(site, made)
    Backend().revoke(site, made.lease_id)
    refused = logins.refusal(site, made)
    nemesis.heal()
    evidence.attach(primary=new, let_in=let_in or "yes", after=refused or "still let in")
    assert let_in == ""
    assert refused


def test_every_session_of_the_platform_follows_a_switchover(platform, developer, nemesis, evidence):
    """30 s after a switchover no process of the platform has a session at the former primary."""
    site = platform.site
    old = at_the_primary(site, developer)
    nemesis.inject(faults.Switchover())
    new = wait_until(
        lambda: at_the_primary(site, developer),
        FOLLOWED,
        what="all sessions are at the primary alone",
        every=1.0,
        ignoring=(ClusterError, AssertionError),
        broken=True,
    )
    nemesis.heal()
    evidence.attach(before=old, after=new)
    control(new != old, f"{old} leads still: nothing was switched")


def another_leads(site, old: str, number: int) -> bool:
    found = Postgres().look(site)
    return found.primary != old and found.whole(number)


def at_the_primary(site, user) -> str:
    """The primary, where all sessions of the backend and its worker are."""
    user.projects()
    primary = Postgres().primary(site)
    counts = {}
    for pod in members.of(site.profile):
        with Postgres().connect_member(site, pod) as connection:
            counts[pod] = logins.sessions(connection)
    assert {pod for pod, count in counts.items() if count} == {primary}, counts
    return primary
