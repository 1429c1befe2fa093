"""The directory: its accounts, its connections to and from Vault, and the people in it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from collections.abc import Iterator, Mapping

import hvac
import ldap3
import requests

from infraforge.components import directory, vault_identity
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.passwords import passwords_of
from infraforge.components.site import Site
from infraforge.components.vault_identity import Identities, User
from infraforge.errors import ClusterError
from infraforge.wait import seconds, wait_until

NAMESPACE = "infraforge-security"
URL = f"ldaps://ldap.{NAMESPACE}.svc:636"
_METHOD = "auth/ldap/config"
_PORT = 6360
_PROBED = 8443
_MEMBER = "ldap-0"
_MANAGER = "manager"
_AT_VAULT = (hvac.exceptions.VaultError, requests.RequestException)


class Ldap(Component):
    """OpenLDAP, and the follower that reports its people to Vault."""

    name = "ldap"
    namespace = NAMESPACE
    # the follower signs in to Vault, which keeps the groups
    needs = ("vault",)
    listens = (Listener(_PORT), Listener(_PROBED))
    reloads = True
    trust = Trust.RUNNING  # the follower reads it for each connection

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """Create passwords, and tell Vault where the directory is."""
        passwords = self._passwords(site)
        # stored: the hash is salted, so a new one would look like a change
        line = {"rootpw.conf": f"rootpw {hashed(passwords[_MANAGER])}\n"}
        site.secret("ldap-rootpw", NAMESPACE, lambda: line)
        vault = site.vault()
        try:
            vault.write_data(_METHOD, data=self._config(site, passwords["vault"]))
            accessor = vault_identity.accessor_of(vault, "ldap")
        except _AT_VAULT as error:
            raise ClusterError(f"Vault refused the directory's set-up: {error}") from error
        groups = " ".join(Identities.load(site.tree).groups)
        values = {"VAULT_ACCESSOR": accessor, "GROUPS": groups}
        site.config_map("ldap-at-vault", NAMESPACE, values)

    def started(self, site: Site) -> None:
        """Write accounts, groups and the people of `identity.toml`; it cannot be ready before."""
        passwords = self._passwords(site)
        accounts = {name: passwords[name] for name in directory.ACCOUNTS}
        identities = Identities.load(site.tree)
        known = vault_identity.passwords(site)

        def filled() -> bool:
            with self.managed(site) as connection:
                directory.put_tree(connection, accounts, identities.groups)
                for user in identities.users:
                    directory.put_person(connection, user, known[user.name])
                    directory.set_groups(connection, user.name, user.groups, identities.groups)
            return True

        # its containers run shortly before it listens
        wait_until(filled, seconds(30), ignoring=(ClusterError,), what="the directory is filled")

    def configure(self, site: Site) -> None:
        """Wait until Vault knows everybody in the directory."""
        vault = site.vault()
        users = Identities.load(site.tree).users

        def missing() -> list[User]:
            return [user for user in users if not vault_identity.knows(vault, user)]

        wait_until(lambda: not missing(), seconds(30), what="Vault knows who is in the directory")

    def reload(self, site: Site) -> None:
        """Set the certificate's path in slapd's configuration again, which makes slapd read it."""
        with self.managed(site) as connection:
            directory.read_certificate_anew(connection)

    def retrust(self, site: Site) -> None:
        """Update the CA in Vault's LDAP configuration, where Vault keeps it beside the URL."""
        config = self._config(site, self._passwords(site)["vault"])
        try:
            site.vault().write_data(_METHOD, data=config)
        except _AT_VAULT as error:
            raise ClusterError(f"Vault refused the directory's new CA: {error}") from error

    @contextlib.contextmanager
    def managed(self, site: Site) -> Iterator[ldap3.Connection]:
        """A connection to the directory as its manager, who may change everything.

        Raises ClusterError, also for errors of the directory inside the block.
        """
        with self.connected(site, directory.MANAGER, self._passwords(site)[_MANAGER]) as connection:
            yield connection

    @contextlib.contextmanager
    def connected(self, site: Site, user: str, password: str) -> Iterator[ldap3.Connection]:
        """A connection to the directory as `user`; raises ClusterError like `managed`."""
        with site.forward(NAMESPACE, f"pod/{_MEMBER}", _PORT) as port:
            try:
                with directory.connected(port, site.ca_file, user, password) as connection:
                    yield connection
            except directory.FAILURES as error:
                raise directory.told(error) from error

    def account(self, site: Site, name: str) -> tuple[str, str]:
        """DN and password of one of the read-only accounts."""
        return directory.account_dn(name), self._passwords(site)[name]

    def _passwords(self, site: Site) -> Mapping[str, str]:
        return passwords_of(site, self.name, NAMESPACE, (_MANAGER, *directory.ACCOUNTS))

    def _config(self, site: Site, password: str) -> Mapping[str, object]:
        """Vault's LDAP settings: find the person with its own account, then try the password.

        There is no groupdn, because the follower tells Vault who belongs to which group.
        """
        return {
            "url": URL,
            "certificate": site.ca_file.read_text(),
            "tls_min_version": "tls12",
            "binddn": directory.account_dn("vault"),
            "bindpass": password,
            "userdn": directory.PEOPLE,
            "userattr": "uid",
            "userfilter": "(&(objectClass=inetOrgPerson)({{.UserAttr}}={{.Username}}))",
            "username_as_alias": True,
            "deny_null_bind": True,
            # shorter than the login page's own wait for Vault
            "connection_timeout": 2,
            "request_timeout": 3,
            **vault_identity.LOGIN_TOKEN,
        }


def hashed(password: str) -> str:
    """The password as slapd.conf takes it: salted SHA-1 suffices for 256 random bits."""
    salt = secrets.token_bytes(16)
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()
