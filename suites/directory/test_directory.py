"""The directory answers Vault and the follower alone, over TLS, and what they ask for alone."""

from __future__ import annotations

import ssl
from functools import partial

import allure
import ldap3
import pytest

from infraforge.checkers import cells_match
from infraforge.components import directory as entries
from infraforge.components.ldap import NAMESPACE
from infraforge.errors import ClusterError
from infraforge.probes import reach, tls
from infraforge.probes.reach import Source, Target
from infraforge.table import Table

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5", "NIST-IA-2"),
]

DONE, REFUSED = "done", "refused"
NO = (
    # how the directory says so; an entry that somebody may not see is none to them
    "LDAPInvalidCredentialsResult",
    "LDAPInappropriateAuthenticationResult",
    "LDAPInsufficientAccessRightsResult",
    "LDAPNoSuchObjectResult",
    "LDAPStrongerAuthRequiredResult",
    "LDAPUnwillingToPerformResult",
)


@pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.22", "NIST-SC-7")
def test_only_vault_reaches_the_directory(platform, evidence):
    """By network: Vault gets through, and neither its neighbours nor those who ask it."""
    named = "app.kubernetes.io/name"
    vault = Source("as vault", NAMESPACE, {named: "vault"})
    strangers = (
        Source("as the login page", "infraforge-access", {named: "login"}),
        Source("as the backend", "infraforge-application", {named: "backend"}),
        Source("beside it", NAMESPACE),
        Source("outside, labelled as vault", "default", {named: "vault"}),
    )
    target = Target(f"ldap.{NAMESPACE}.svc", 636)
    found = reach.reach(platform.site, (vault, *strangers), (target,))
    declared = {
        (source.name, str(target)): reach.OPEN if source is vault else reach.BLOCKED
        for source in (vault, *strangers)
    }
    judge(found.table, declared, evidence)


@pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")
def test_only_tls_is_spoken(platform, directory, evidence):
    """TLS 1.2 and 1.3 under the platform's certificate; nothing older, and no LDAP in clear."""
    versions = {
        "TLS 1.0": (ssl.TLSVersion.TLSv1, tls.REFUSED),
        "TLS 1.1": (ssl.TLSVersion.TLSv1_1, tls.REFUSED),
        "TLS 1.2": (ssl.TLSVersion.TLSv1_2, tls.SPOKEN),
        "TLS 1.3": (ssl.TLSVersion.TLSv1_3, tls.SPOKEN),
    }
    with platform.site.forward(NAMESPACE, "pod/ldap-0", 6360) as port:
        cells = {
            (name, "is"): tls.speaks(f"https://localhost:{port}", platform.ca_file, version)
            for name, (version, _) in versions.items()
        }
        cells["LDAP in clear", "is"] = in_clear(port, *directory.account(platform.site, "vault"))
    declared = {(name, "is"): wanted for name, (_, wanted) in versions.items()}
    judge(Table(cells), declared | {("LDAP in clear", "is"): tls.REFUSED}, evidence)


def test_nobody_gets_in_without_their_password(platform, directory, people, evidence):
    """No name, no password, another's password, a locked account: refused, all of them."""
    person, locked = people.make("viewer"), people.make("viewer", disabled=True)
    mine, theirs = entries.person_dn(person.name), entries.person_dn(locked.name)
    cases = {
        "right password": (mine, person.password),
        "nobody, no password": ("", ""),
        "another's password": (mine, locked.password),
        "somebody who is not there": (entries.person_dn("nobody-at-all"), person.password),
        "manager, an account's password": (
            entries.MANAGER,
            directory.account(platform.site, "vault")[1],
        ),
        "locked, right password": (theirs, locked.password),
    }
    cells = {
        (case, "is"): tried(platform.site, directory, given, lambda _connection: None)
        for case, given in cases.items()
    }
    right = ("right password", "is")
    declared = {(case, "is"): REFUSED for case in cases} | {right: DONE}
    judge(Table(cells), declared, evidence, controls=[right])


@pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6")
def test_each_account_reads_what_it_is_for_and_changes_nothing(
    platform, directory, people, evidence
):
    """Vault's finds people; the follower's sees addresses and groups; no one a password."""
    person = people.make("viewer")
    dn, group = entries.person_dn(person.name), f"cn=admin,{entries.GROUPS}"
    accounts = {name: directory.account(platform.site, name) for name in entries.ACCOUNTS}
    accounts["the person"] = (dn, person.password)
    tasks = {
        "finds the person": partial(reads, dn=dn, attribute="uid"),
        "reads the address": partial(reads, dn=dn, attribute="mail"),
        "reads a group": partial(reads, dn=group, attribute="member"),
        "reads the password": partial(reads, dn=dn, attribute="userPassword"),
        "reads its own entry's password": partial(reads, dn="", attribute="userPassword"),
        "changes the address": partial(
            changes, dn=dn, mail=(ldap3.MODIFY_REPLACE, ["x@y.example"])
        ),
        "changes the password": partial(changes, dn=dn, userPassword=(ldap3.MODIFY_REPLACE, ["x"])),
        "makes the person an admin": partial(changes, dn=group, member=(ldap3.MODIFY_ADD, [dn])),
        "reads the directory's settings": partial(
            reads, dn="cn=config", attribute="olcTLSCertificateFile"
        ),
        "changes the directory's settings": partial(
            changes, dn="cn=config", olcIdleTimeout=(ldap3.MODIFY_REPLACE, ["300"])
        ),
        "removes the person": lambda connection: connection.delete(dn),
    }
    may = {
        "vault": {"finds the person"},
        "follower": {"finds the person", "reads the address", "reads a group"},
        "the person": set(),
    }
    cells, declared = {}, {}
    for who, given in accounts.items():
        for what, task in tasks.items():
            cells[who, what] = tried(platform.site, directory, given, task)
            declared[who, what] = DONE if what in may[who] else REFUSED
    judge(Table(cells), declared, evidence)


def reads(connection, dn, attribute):
    dn = dn or connection.user
    connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=[attribute])
    found = [entry for entry in connection.response if entry["type"] == "searchResEntry"]
    if not any(entry["attributes"].get(attribute) for entry in found):
        raise ClusterError("LDAPNoSuchObjectResult: it is not shown")


def changes(connection, dn, **change):
    connection.modify(dn, {attribute: [how] for attribute, how in change.items()})


def tried(site, directory, given, task):
    """done, refused (the directory said so), or None where neither was seen."""
    try:
        with directory.connected(site, *given) as connection:
            task(connection)
    except ClusterError as error:
        return REFUSED if any(answer in str(error) for answer in NO) else None
    return DONE


def in_clear(port, user, password):
    """refused, or what else came of a bind without TLS."""
    server = ldap3.Server("localhost", port, get_info=ldap3.NONE, connect_timeout=5)
    connection = ldap3.Connection(server, user, password, receive_timeout=5)
    try:
        return "let in" if connection.bind() else str(connection.result["description"])
    except ldap3.core.exceptions.LDAPException:
        return tls.REFUSED  # the connection was ended instead of an answer


def judge(observed, declared, evidence, controls=()):
    verdict = cells_match(observed, Table(declared), controls=controls)
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()
