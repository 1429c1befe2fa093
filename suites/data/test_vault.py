"""Vault comes back by itself, and nobody holds the key to everything."""

from __future__ import annotations

import time

import pytest

from infraforge import faults
from infraforge.components.backend import Backend
from infraforge.errors import ClusterError
from infraforge.probes import tokens
from infraforge.verdict import control
from infraforge.wait import Deadline, wait_until


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_killed_vault_comes_back_unsealed_by_itself(
    platform, developer, project, nemesis, evidence
):
    """A killed Vault is unsealed and hands out credentials again within budget, untouched."""
    site, budget = platform.site, platform.profile.budgets.component
    control(not tokens.sealed(site), "Vault is sealed to begin with")
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
    """Of all tokens that Vault knows none is a root token."""
    policies = tokens.policies(platform.site)
    control(any("operator" in held for held in policies), "the token that looks is not seen")
    assert [held for held in policies if "root" in held] == []
