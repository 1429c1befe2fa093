"""Credentials: Vault leases every database login, and the login ends with its lease."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infraforge.components.backend import Backend
from infraforge.probes import declared, injected, logins
from infraforge.verdict import control
from infraforge.wait import wait_until, wait_until_stable
from infraforge.workloads.backend_client import Unknown

# Vault lets the role outlive the lease by these seconds, so that the lease ends first;
# the rest allows for clock differences and for the time between the two reads
_ROLE_OUTLIVES_LEASE = timedelta(seconds=5)
_NEAR = timedelta(seconds=15)


@pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.24", "NIST-IA-5")
def test_backend_works_only_with_logins_leased_from_vault(platform, database, evidence):
    """Every database login in use by the backend expires with one of its leases at Vault."""
    sessions = wait_until(
        lambda: logins.of_backend(database), within=20, what="the backend has database sessions"
    )
    leases = Backend().active_leases(platform.site)
    now = datetime.now(UTC)
    ends = [now + timedelta(seconds=lease.ttl) + _ROLE_OUTLIVES_LEASE for lease in leases]
    evidence.attach(sessions="\n".join(map(str, sessions)), leases="\n".join(map(str, leases)))
    for session in sessions:
        assert session.user.startswith("v-"), f"Vault did not make the login {session.user}"
        assert not session.superuser, f"{session.user} is a superuser"
        assert session.valid_until is not None, f"{session.user} never expires"
        near = [end for end in ends if abs(end - session.valid_until) < _NEAR]
        assert near, f"{session.user} is valid until {session.valid_until}, leases end {ends}"


@pytest.mark.control("SOC2-CC6.1", "NIST-IA-5")
def test_leases_are_no_longer_than_declared(platform):
    """Every lease of a database login ends within the declared time, unless renewed."""
    site, ttl = platform.site, declared.lease_ttl(platform.site)
    made = Backend().new_login(site)
    try:
        leases = Backend().active_leases(site)
        known = {lease.lease_id for lease in leases}
        control(made.lease_id in known, f"the list lacks the lease made just now: {leases}")
        assert [lease for lease in leases if not 0 < lease.ttl <= ttl] == []
    finally:
        Backend().revoke(site, made.lease_id)


@pytest.mark.control("SOC2-CC6.1", "SOC2-CC6.3", "NIST-IA-5")
def test_login_ends_with_its_lease(platform):
    """Once its lease is revoked a login's sessions end, and it can no longer sign in."""
    site = platform.site
    revoked, other = Backend().new_login(site), Backend().new_login(site)
    try:
        with logins.signed_in(site, revoked) as before:
            control(logins.alive(before), "the session was dead before the revocation")
            said = logins.refusal(site, revoked)
            control(said == "", f"the login could not sign in before the revocation: {said}")
            Backend().revoke(site, revoked.lease_id)
            assert not logins.alive(before), "the session outlives its lease"
        said = logins.refusal(site, other)
        control(said == "", f"a login with a valid lease cannot sign in either: {said}")
        assert logins.refusal(site, revoked), f"{revoked.user} can sign in without its lease"
    finally:
        Backend().revoke(site, other.lease_id)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-CC6.1", "SOC2-A1.2", "NIST-IA-5")
def test_backend_gets_a_new_login_when_all_leases_are_revoked(
    platform, developer, project, database
):
    """After all its leases are revoked, the backend continues by itself with new logins."""
    site, budget = platform.site, platform.profile.budgets.rejoin
    held = wait_until(
        lambda: logins.of_backend(database), within=20, what="the backend has database sessions"
    )
    before = {session.user for session in held}
    assert {user for user in before if not user.startswith("v-")} == set()
    Backend().revoke_all(site)
    wait_until(
        lambda: before.isdisjoint(logins.roles(database)),
        within=30,
        what="the logins are gone",
        broken=True,
    )
    for what, work in {
        # the list of projects is never cached
        "reads": lambda: project.id in {item.id for item in developer.projects()},
        "writes": lambda: developer.update_project(project.id, name="written after"),
    }.items():
        wait_until(
            work,
            within=budget,
            what=f"the backend {what} again",
            ignoring=(Unknown,),
            broken=True,
        )
    after = wait_until_stable(
        lambda: {session.user for session in logins.of_backend(database)}, within=budget
    )
    assert after, "the backend reads, but holds no database session"
    assert after.isdisjoint(before)


@pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.24", "NIST-IA-5")
def test_only_declared_and_leased_roles_may_log_in(database):
    """PostgreSQL's only login roles are its members', Vault's own, and those leased by Vault."""
    static = {role for role in logins.roles(database) if not role.startswith("v-")}
    assert static == {"postgres", "replicator", "rewinder", "vault"}


@pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.24", "NIST-IA-5")
def test_backend_is_given_no_password(platform):
    """The backend's pod gets its certificate, but no other Secret and no secret-like variable."""
    pod = injected.into(platform.site, "backend")
    control(pod.variables, "the backend's pod has no environment variables")
    assert pod.secrets == {"backend-tls"}
    assert {name for name in pod.variables if injected.looks_secret(name)} == set()
