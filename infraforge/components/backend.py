"""The backend: what it gets at Vault before it starts, and its leases for who looks at them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import hvac

from infraforge.components.base import Component, Listener, Trust
from infraforge.components.minio import Minio
from infraforge.components.nats import URL, Nats
from infraforge.components.postgres import Postgres
from infraforge.components.redis_cache import RedisCache
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.profile import Profile

NAMESPACE = "infraforge-application"
ROLE = "backend"
_ROLES = (ROLE, "worker")
_CONNECTION = "postgres"
_URL = (
    "postgresql://{{username}}:{{password}}@postgres.infraforge-data.svc:5432/infraforge"
    "?sslmode=verify-full&sslrootcert=/etc/platform-ca/ca.crt"
)
_PREFIX = f"database/creds/{ROLE}"


@dataclass(frozen=True)
class Lease:
    """One lease of a database login. ttl: seconds left."""

    lease_id: str
    issued: str
    ttl: int


@dataclass(frozen=True)
class DatabaseLogin:
    """A login to PostgreSQL as Vault gives it to the backend."""

    user: str
    password: str = field(repr=False)
    lease_id: str


class Backend(Component):
    """Flask under gunicorn; credentials only from Vault."""

    name = "backend"
    namespace = NAMESPACE
    needs = ("vault", "postgres", "redis-cache", "minio")
    listens = (Listener(8443),)
    reloads = True  # gunicorn reads it for every connection
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """At Vault: the database engine, and keys."""
        site.config_map("backend-profile", NAMESPACE, profile_settings(site.profile))
        vault = site.vault()
        try:
            _set_up_database(site, vault)
            hand_over_keys(vault, ROLE, _keys(site))
        except hvac.exceptions.VaultError as error:
            raise ClusterError(f"Vault does not take the backend's set-up: {error}") from error

    def active_leases(self, site: Site) -> tuple[Lease, ...]:
        """The database logins that are in force now."""
        vault = site.vault()
        try:
            listed = vault.sys.list_leases(prefix=_PREFIX)["data"]["keys"]
        except hvac.exceptions.InvalidPath:
            return ()
        found = []
        for key in listed:
            try:
                data = vault.sys.read_lease(f"{_PREFIX}/{key}")["data"]
            except hvac.exceptions.InvalidRequest:
                continue  # ended between the list and the look
            found.append(Lease(data["id"], data["issue_time"], int(data["ttl"])))
        return tuple(found)

    def new_login(self, site: Site) -> DatabaseLogin:
        """A login of the very kind the backend works with, under a lease of its own."""
        return _login(site.vault())

    def revoke(self, site: Site, lease_id: str) -> None:
        """End one lease now; returns once its login is gone from PostgreSQL."""
        site.vault().write_data("sys/leases/revoke", data={"lease_id": lease_id, "sync": True})

    def revoke_all(self, site: Site) -> None:
        """End every lease of the backend now."""
        site.vault().sys.revoke_prefix(f"{_PREFIX}/")


def profile_settings(profile: Profile) -> Mapping[str, str]:
    """The backend's settings that follow from which other components there are."""
    found: dict[str, str] = {}
    if Nats.name in profile.components:
        found |= {"NATS_URL": URL, "VAULT_KEYS": "minio redis nats"}
    if profile.identity.method == "ldap":
        # of the stated seconds, five are for Vault to hear of it from the directory's follower
        found["STANDING_SECONDS"] = "15"
    return found


def create_login_role(site: Site, vault: hvac.Client, role: str) -> None:
    """How Vault makes `role`'s logins, as `components/ROLE/database-role.toml` says."""
    settings = tomllib.loads((_folder(site, role) / "database-role.toml").read_text())
    vault.secrets.database.create_role(
        name=role,
        db_name=_CONNECTION,
        creation_statements=settings["creation"],
        renew_statements=settings["renew"],
        revocation_statements=settings["revocation"],
        rollback_statements=settings["revocation"],
        default_ttl=settings["default_ttl"],
        max_ttl=settings["max_ttl"],
    )


def _set_up_database(site: Site, vault: hvac.Client) -> None:
    """Vault's own login to PostgreSQL, with a password that from then on only Vault knows."""
    create_login_role(site, vault, ROLE)
    engine = vault.secrets.database
    if _connection_works(vault):
        return
    user, password = Postgres().vault_credentials(site)
    engine.configure(
        name=_CONNECTION,
        plugin_name="postgresql-database-plugin",
        allowed_roles=list(_ROLES),
        connection_url=_URL,
        username=user,
        password=password,
        password_authentication="scram-sha-256",  # noqa: S106  the method's name
    )
    engine.rotate_root_credentials(_CONNECTION)


def _connection_works(vault: hvac.Client) -> bool:
    """Whether Vault can make logins already (asked by making one)."""
    try:
        vault.secrets.database.read_connection(_CONNECTION)
        made = _login(vault)
    except (hvac.exceptions.InvalidPath, hvac.exceptions.InvalidRequest):
        return False
    except hvac.exceptions.InternalServerError:
        return False  # it has a password that this PostgreSQL does not take: set it anew
    vault.sys.revoke_lease(made.lease_id)
    return True


def _login(vault: hvac.Client) -> DatabaseLogin:
    answer = vault.secrets.database.generate_credentials(name=ROLE)
    data = answer["data"]
    return DatabaseLogin(data["username"], data["password"], answer["lease_id"])


def _keys(site: Site) -> Mapping[str, tuple[str, str]]:
    keys = {"minio": Minio().backend_keys(site), "redis": RedisCache().backend_keys(site)}
    if Nats.name in site.profile.components:
        keys["nats"] = Nats().credentials(site, ROLE)
    return keys


def hand_over_keys(vault: hvac.Client, role: str, keys: Mapping[str, tuple[str, str]]) -> None:
    """Put user and secret of each service where only `role` reads them."""
    for service, (user, secret) in keys.items():
        wanted = {"user": user, "secret": secret}
        if _kept(vault, role, service) != wanted:
            vault.secrets.kv.v2.create_or_update_secret(
                path=f"{role}/{service}", secret=wanted, mount_point="kv"
            )


def _kept(vault: hvac.Client, role: str, service: str) -> Mapping[str, str] | None:
    try:
        answer = vault.secrets.kv.v2.read_secret_version(
            path=f"{role}/{service}", mount_point="kv", raise_on_deleted_version=True
        )
    except hvac.exceptions.InvalidPath:
        return None
    found: Mapping[str, str] = answer["data"]["data"]
    return found


def _folder(site: Site, role: str) -> Path:
    return site.tree / "components" / role
