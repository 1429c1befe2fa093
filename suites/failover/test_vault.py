"""Without Vault, signed-in users keep working, new sign-ins fail, and all recovers afterwards."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.checkers import no_stale_read, under_fault
from infraforge.components.backend import Backend
from infraforge.errors import ClusterError
from infraforge.probes import tokens
from infraforge.verdict import check
from infraforge.wait import wait_until
from infraforge.workloads import register
from infraforge.workloads.backend_client import Unknown
from infraforge.workloads.front_door import Unexpected
from infraforge.workloads.visitor import NoAnswer


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10", "NIST-IA-5")
def test_work_continues_without_vault_and_sign_ins_resume_after_it(
    platform, front_door, devon, developer, project, nemesis, evidence
):
    """Until its lease ends the backend works without Vault; sign-ins get an error, not a denial."""
    budget = platform.profile.budgets.rejoin
    with register.Load(developer, [project.id], readers=2, writers=1) as load:
        load.until(reads=20, writes=4)
        nemesis.inject(faults.ScaledToNothing("vault"))
        with pytest.raises((NoAnswer, Unexpected)) as unanswered:
            front_door.sign_in(devon.name, devon.password)
        developer.put_file(project.id, "meanwhile.txt", b"without Vault")
        content = developer.get_file(project.id, "meanwhile.txt")
        load.until(reads=40, writes=8)
        nemesis.heal()
        load.until(reads=20, writes=4)
        wait_until(
            lambda: front_door.sign_in(devon.name, devon.password),
            within=budget,
            ignoring=(NoAnswer, Unexpected),
            what="people can sign in again",
            broken=True,
        )
    history = load.history + nemesis.history
    verdict = check(history, under_fault(no_stale_read))
    evidence.attach(history, verdict, sign_in=str(unanswered.value))
    assert [str(call.completion) for call in load.history.calls if not call.ok] == []
    assert content == b"without Vault"
    assert verdict.holds, verdict.explain()
    assert not wait_until(
        lambda: (tokens.sealed(platform.site),), budget, ignoring=(ClusterError,)
    )[0]
    Backend().revoke(platform.site, Backend().new_login(platform.site).lease_id)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10", "NIST-IA-5")
def test_backend_recovers_by_itself_when_its_login_ends_without_vault(
    platform, developer, project, outage, nemesis, evidence
):
    """When its login ends while Vault is down, the backend returns 503 and recovers with Vault."""
    budget = platform.profile.budgets.rejoin
    outage.inject(faults.ScaledToNothing("vault"))
    nemesis.inject(faults.LoginsEnd())
    ended = wait_until(lambda: refused(developer), within=30, what="the backend lost its login")
    outage.heal()  # restores Vault only: the old logins stay ended
    wait_until(
        lambda: developer.update_project(project.id, name="written after"),
        within=budget,
        ignoring=(Unknown,),
        what="the backend writes again",
        broken=True,
    )
    evidence.attach(outage.history + nemesis.history, told=str(ended))
    assert ended.status == 503
    after = developer.read_project(project.id)[0]
    assert (after.name, after.version) == ("written after", project.version + 1)


def refused(user):
    """The refusal of a read of the (uncached) list of projects, or None while it is served."""
    try:
        user.projects()
    except Unknown as error:
        return error
    return None
