"""The LDAP directory as its manager writes it: people, groups and accounts, over TLS.

All functions are idempotent: each creates an entry, or updates the one that exists.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ldap3
from ldap3.core import exceptions

from infraforge.components.vault_identity import User
from infraforge.errors import ClusterError

BASE = "dc=infraforge,dc=example"
MANAGER = f"cn=admin,{BASE}"
ACCOUNTS = ("vault", "follower")
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
_SERVICES = f"ou=services,{BASE}"
_NOBODY = f"cn=nobody,{BASE}"
_POLICY = f"cn=passwords,{_SERVICES}"
_LOCKED = "000001010000Z"
_SECONDS = 10
FAILURES = (exceptions.LDAPException, OSError)


def account_dn(name: str) -> str:
    """The DN of one of ACCOUNTS."""
    return f"cn={name},{_SERVICES}"


def person_dn(name: str) -> str:
    """The DN of a person."""
    return f"uid={name},{PEOPLE}"


@contextlib.contextmanager
def connected(port: int, ca_file: Path, user: str, password: str) -> Iterator[ldap3.Connection]:
    """A connection as `user` to the directory behind a local port.

    Raises what ldap3 raises, refusals by the server included.
    """
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(ca_file))
    server = ldap3.Server(
        "localhost",  # the name in its certificate
        port,
        use_ssl=True,
        tls=tls,
        get_info=ldap3.NONE,
        connect_timeout=_SECONDS,
    )
    connection = ldap3.Connection(
        server, user, password, raise_exceptions=True, receive_timeout=_SECONDS
    )
    try:
        connection.bind()
        yield connection
    finally:
        with contextlib.suppress(*FAILURES):
            connection.unbind()


def put_tree(
    connection: ldap3.Connection, accounts: Mapping[str, str], groups: Sequence[str]
) -> None:
    """Write the branches, the accounts with their passwords, and the groups; members are kept."""
    _put(connection, BASE, ["dcObject", "organization"], {"dc": "infraforge", "o": "InfraForge"})
    for branch in (PEOPLE, GROUPS, _SERVICES):
        _put(connection, branch, ["organizationalUnit"], {})
    # Vault counts wrong passwords; the directory only has to know who is locked
    policy = {"pwdAttribute": "userPassword", "pwdLockout": "TRUE", "pwdMaxFailure": "0"}
    _put(connection, _POLICY, ["organizationalRole", "pwdPolicy"], policy)
    for name, password in accounts.items():
        classes = ["organizationalRole", "simpleSecurityObject"]
        _put(connection, account_dn(name), classes, {"userPassword": password})
    for group in groups:
        # a group must have a member, so the entry of nobody always is one
        with contextlib.suppress(exceptions.LDAPEntryAlreadyExistsResult):
            connection.add(f"cn={group},{GROUPS}", ["groupOfNames"], {"member": _NOBODY})


def put_person(connection: ldap3.Connection, user: User, password: str) -> None:
    """Make the person's entry, password and lock state exactly as given."""
    _put(
        connection,
        person_dn(user.name),
        ["inetOrgPerson"],
        {"cn": user.name, "sn": user.name, "mail": user.email, "userPassword": password},
    )
    set_locked(connection, user.name, user.disabled)


def set_locked(connection: ldap3.Connection, name: str, locked: bool) -> None:
    """Lock or unlock the person: a locked one is refused even with the right password."""
    values = [_LOCKED] if locked else []
    connection.modify(person_dn(name), {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, values)]})


def set_groups(
    connection: ldap3.Connection, name: str, wanted: Sequence[str], groups: Sequence[str]
) -> None:
    """Make the person a member of exactly the `wanted` ones among `groups`."""
    dn = person_dn(name)
    for group in groups:
        change = ldap3.MODIFY_ADD if group in wanted else ldap3.MODIFY_DELETE
        with contextlib.suppress(
            exceptions.LDAPAttributeOrValueExistsResult, exceptions.LDAPNoSuchAttributeResult
        ):
            connection.modify(f"cn={group},{GROUPS}", {"member": [(change, [dn])]})


def drop_person(connection: ldap3.Connection, name: str, groups: Sequence[str]) -> None:
    """Remove the person everywhere; no error if there is no such person."""
    set_groups(connection, name, (), groups)
    with contextlib.suppress(exceptions.LDAPNoSuchObjectResult):
        connection.delete(person_dn(name))


def _put(
    connection: ldap3.Connection, dn: str, classes: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Add the entry, or set these values on the one that exists."""
    try:
        connection.add(dn, list(classes), dict(values))
    except exceptions.LDAPEntryAlreadyExistsResult:
        if values:
            changes = {key: [(ldap3.MODIFY_REPLACE, [value])] for key, value in values.items()}
            connection.modify(dn, changes)


def read_certificate_anew(connection: ldap3.Connection) -> None:
    """Load the certificate for new connections. Needs the manager of `cn=config`."""
    files = {
        "olcTLSCertificateFile": "/etc/tls/tls.crt",
        "olcTLSCertificateKeyFile": "/etc/tls/tls.key",
    }
    changes = {key: [(ldap3.MODIFY_REPLACE, [path])] for key, path in files.items()}
    connection.modify("cn=config", changes)


def told(error: Exception) -> ClusterError:
    """Convert a failure of ldap3 to the harness' own error."""
    text = str(error).splitlines()[0] if str(error) else ""
    return ClusterError(f"the directory refused: {type(error).__name__}: {text}")
