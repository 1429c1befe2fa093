"""The directory as its manager sees it: entries for people, groups and accounts, over LDAP and TLS.

All functions may be repeated: each makes an entry so, whether or not it is there.
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
    """Where one of ACCOUNTS is."""
    return f"cn={name},{_SERVICES}"


def person_dn(name: str) -> str:
    """Where a person is."""
    return f"uid={name},{PEOPLE}"


@contextlib.contextmanager
def connected(port: int, ca_file: Path, user: str, password: str) -> Iterator[ldap3.Connection]:
    """A connection to the directory behind a local port, as `user`.

    Raises what the client raises, answers that say no included.
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
    """The branches, the accounts with their passwords, and the groups; members stay."""
    _put(connection, BASE, ["dcObject", "organization"], {"dc": "infraforge", "o": "InfraForge"})
    for branch in (PEOPLE, GROUPS, _SERVICES):
        _put(connection, branch, ["organizationalUnit"], {})
    # Vault counts who guesses; here somebody can only be locked
    policy = {"pwdAttribute": "userPassword", "pwdLockout": "TRUE", "pwdMaxFailure": "0"}
    _put(connection, _POLICY, ["organizationalRole", "pwdPolicy"], policy)
    for name, password in accounts.items():
        classes = ["organizationalRole", "simpleSecurityObject"]
        _put(connection, account_dn(name), classes, {"userPassword": password})
    for group in groups:
        # a group must have a member: nobody is always one
        with contextlib.suppress(exceptions.LDAPEntryAlreadyExistsResult):
            connection.add(f"cn={group},{GROUPS}", ["groupOfNames"], {"member": _NOBODY})


def put_person(connection: ldap3.Connection, user: User, password: str) -> None:
    """The person exactly so: entry, password, locked or not."""
    _put(
        connection,
        person_dn(user.name),
        ["inetOrgPerson"],
        {"cn": user.name, "sn": user.name, "mail": user.email, "userPassword": password},
    )
    set_locked(connection, user.name, user.disabled)


def set_locked(connection: ldap3.Connection, name: str, locked: bool) -> None:
    """Whether the directory refuses the person, right password or not."""
    values = [_LOCKED] if locked else []
    connection.modify(person_dn(name), {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, values)]})


def set_groups(
    connection: ldap3.Connection, name: str, wanted: Sequence[str], groups: Sequence[str]
) -> None:
    """Make the person a member of exactly these of the groups."""
    dn = person_dn(name)
    for group in groups:
        change = ldap3.MODIFY_ADD if group in wanted else ldap3.MODIFY_DELETE
        with contextlib.suppress(
            exceptions.LDAPAttributeOrValueExistsResult, exceptions.LDAPNoSuchAttributeResult
        ):
            connection.modify(f"cn={group},{GROUPS}", {"member": [(change, [dn])]})


def drop_person(connection: ldap3.Connection, name: str, groups: Sequence[str]) -> None:
    """Remove the person everywhere; one who is not there is no error."""
    set_groups(connection, name, (), groups)
    with contextlib.suppress(exceptions.LDAPNoSuchObjectResult):
        connection.delete(person_dn(name))


def _put(
    connection: ldap3.Connection, dn: str, classes: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Add the entry, or make these values of one that is there so."""
    try:
        connection.add(dn, list(classes), dict(values))
    except exceptions.LDAPEntryAlreadyExistsResult:
        if values:
            changes = {key: [(ldap3.MODIFY_REPLACE, [value])] for key, value in values.items()}
            connection.modify(dn, changes)


def read_certificate_anew(connection: ldap3.Connection) -> None:
    """For the connections that are made from now on. Needs the manager of `cn=config`."""
    files = {
        "olcTLSCertificateFile": "/etc/tls/tls.crt",
        "olcTLSCertificateKeyFile": "/etc/tls/tls.key",
    }
    changes = {key: [(ldap3.MODIFY_REPLACE, [path])] for key, path in files.items()}
    connection.modify("cn=config", changes)


def told(error: Exception) -> ClusterError:
    """The failure as the rest of the harness knows failures."""
    text = str(error).splitlines()[0] if str(error) else ""
    return ClusterError(f"the directory does not do it: {type(error).__name__}: {text}")
