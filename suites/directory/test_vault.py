"""What Vault has of a directory's people: who they are, no password, and the follower's word."""

from __future__ import annotations

import hvac
import pytest

from infraforge import faults
from infraforge.checkers import cells_match
from infraforge.components.ldap import NAMESPACE
from infraforge.table import Table
from infraforge.wait import wait_until
from infraforge.workloads.front_door import Unexpected
from infraforge.workloads.visitor import NoAnswer

ALLOWED, REFUSED = "allowed", "refused"


@pytest.mark.control("SOC2-CC6.1", "NIST-IA-5")
def test_passwords_are_checked_by_the_directory_alone(platform):
    """Vault has the directory's method and the cluster's, and no list of people of its own."""
    methods = platform.site.vault().sys.list_auth_methods()["data"]
    assert {method for method in methods if method != "token/"} == {"ldap/", "kubernetes/"}


@pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6")
def test_the_followers_word_gives_nobody_rights_at_vault(platform, people, evidence):
    """It says who is in which group, and can give neither people nor groups a policy."""
    site, person = platform.site, people.make("viewer")
    with site.forward(NAMESPACE, "svc/vault", 8200) as port:
        vault = hvac.Client(f"https://localhost:{port}", verify=str(platform.ca_file))
        token = site.account_token("ldap", NAMESPACE, "vault")
        vault.auth.kubernetes.login(role="ldap", jwt=token)
        name = f"identity/entity/name/{person.name}"
        members = vault.read("identity/group/name/viewer")["data"]["member_entity_ids"]
        attempts = {
            "writes who is in a group": (
                "identity/group/name/viewer",
                {"member_entity_ids": members},
            ),
            "writes who somebody is": (name, {"metadata": {"email": person.email}}),
            "gives somebody a policy": (name, {"policies": ["operator"]}),
            "gives a group a policy": ("identity/group/name/viewer", {"policies": ["operator"]}),
            "makes a group": ("identity/group", {"name": "operators", "type": "internal"}),
            "writes another group": ("identity/group/name/other", {"member_entity_ids": members}),
            "makes a policy": ("sys/policies/acl/mine", {"policy": 'path "*" {}'}),
            "points Vault at another directory": ("auth/ldap/config", {"url": "ldaps://x"}),
            "makes a token": ("auth/token/create", {}),
        }
        cells = {(what, "is"): tried(vault, *attempt) for what, attempt in attempts.items()}
    allowed = {"writes who is in a group", "writes who somebody is"}
    declared = {key: ALLOWED if key[0] in allowed else REFUSED for key in cells}
    verdict = cells_match(Table(cells), Table(declared))
    evidence.attach(Table(cells), verdict)
    assert verdict.holds, verdict.explain()


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_without_the_directory_nobody_is_told_that_a_password_is_wrong(
    platform, front_door, people, nemesis, evidence
):
    """While it is away who is in works on; who signs in is told to come back, and may, after."""
    person = people.make("developer")
    visitor = front_door.sign_in(person.name, person.password)
    nemesis.inject(faults.ScaledToNothing("ldap"))
    attempt = front_door.begin()  # the page itself is there
    with pytest.raises(NoAnswer) as unanswered:
        attempt.post(person.name, person.password)
    works = visitor.ask("GET", "/api/me")
    nemesis.heal()
    wait_until(
        lambda: front_door.sign_in(person.name, person.password),
        within=platform.profile.budgets.rejoin,
        ignoring=(NoAnswer, Unexpected),
        what="people can sign in again",
        broken=True,
    )
    evidence.attach(nemesis.history, sign_in=str(unanswered.value))
    assert "503" in str(unanswered.value)
    assert works.status_code == 200


def tried(vault, path, values):
    """allowed, or refused (Vault said so); anything else is an error."""
    try:
        vault.write_data(path, data=values)
    except hvac.exceptions.Forbidden:
        return REFUSED
    return ALLOWED
