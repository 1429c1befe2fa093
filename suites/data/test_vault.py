"""Vault recovers by itself, and no token grants everything."""

from __future__ import annotations

import time

import hvac
import pytest

from infraforge import faults
from infraforge.checkers import cells_match
from infraforge.components.backend import Backend
from infraforge.components.vault import vault_bootstrap
from infraforge.errors import ClusterError
from infraforge.probes import tokens
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.wait import Deadline, wait_until


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_killed_vault_comes_back_unsealed_by_itself(
    platform, developer, project, nemesis, evidence
):
    """Within budget, a killed Vault is unsealed and issues credentials without intervention."""
    site, budget = platform.site, platform.profile.budgets.component
    control(not tokens.sealed(site), "Vault was sealed before the kill")
    deadline = Deadline(budget)
    proof = nemesis.inject(faults.KillPod("vault"))
    wait_until(
        lambda: not tokens.sealed(site),
        deadline,
        every=0.5,
        what="Vault is unsealed and active",
        ignoring=(ClusterError,),
        broken=True,
    )
    evidence.attach(f"{proof}\nunsealed {time.monotonic() - deadline.began:.1f} s after the kill")
    nemesis.heal()
    lease = Backend().new_login(site).lease_id
    Backend().revoke(site, lease)
    assert project in developer.projects()


@pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6")
def test_no_root_token_exists(platform):
    """None of Vault's tokens is a root token."""
    policies = tokens.policies(platform.site)
    control(any("operator" in held for held in policies), "the list lacks this test's own token")
    assert [held for held in policies if "root" in held] == []


@pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6")
def test_the_operator_can_grant_no_rights(platform, people, evidence):
    """The operator's token can read all policies but neither change nor grant one."""
    site, person = platform.site, people.make("viewer")
    vault, cells = site.vault(), {}
    for name in [*(account.name for account in vault_bootstrap.accounts(site)), "operator"]:
        policy, role = f"sys/policies/acl/{name}", f"auth/kubernetes/role/{name}"
        for what, path in (("its policy", policy), ("its role", role)):
            cells[name, what] = told(vault, path, vault.read(path)["data"])
    user, entity = f"auth/userpass/users/{person.name}", f"identity/entity/name/{person.name}"
    grants = {
        "to a password": (user, {"token_policies": "operator"}),
        "to a password, by its older name": (user, {"policies": "operator"}),
        "to a password, among others": (user, {"token_policies": "login-user,operator"}),
        "to a password alone": (f"{user}/policies", {"token_policies": "operator"}),
        "to an entity": (entity, {"policies": ["operator"]}),
        "to a group": ("identity/group/name/viewer", {"policies": ["operator"]}),
    }
    for case, (path, data) in grants.items():
        cells["a grant", case] = told(vault, path, data)
    verdict = cells_match(Table(cells), Table(dict.fromkeys(cells, "forbidden")))
    evidence.attach(Table(cells), verdict)
    assert verdict.holds, verdict.explain()


def told(vault, path, data):
    """`done` or `forbidden`; a malformed request proves neither and is returned as such."""
    try:
        vault.write_data(path, data=data)
    except hvac.exceptions.Forbidden:
        return "forbidden"
    except hvac.exceptions.InvalidRequest as error:
        return f"malformed: {error}"
    return "done"
