"""The backend: what it gets at Vault before it starts, and its leases for who looks at them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import hvac

from infraforge.components.base import Component
from infraforge.components.minio import Minio
from infraforge.components.postgres import Postgres
from infraforge.components.redis_cache import RedisCache
from infraforge.components.site import Site
from infraforge.errors import ClusterError

NAMESPACE = "infraforge-application"
ROLE = "backend"
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

    def prepare(self, site: Site) -> None:
        """Its certificate, and at Vault: database engine, keys, policy, and the way to sign in."""
        site.certificate(self.name, NAMESPACE, [self.name])
        vault = site.vault()
        try:
            _set_up_database(site, vault)
            _hand_over_keys(site, vault)
            _let_sign_in(site, vault)
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


def _set_up_database(site: Site, vault: hvac.Client) -> None:
    """Vault's own login to PostgreSQL, with a password that from then on only Vault knows."""
    settings = _settings(site)
    engine = vault.secrets.database
    engine.create_role(
        name=ROLE,
        db_name=_CONNECTION,
        creation_statements=settings["creation"],
        renew_statements=settings["renew"],
        revocation_statements=settings["revocation"],
        rollback_statements=settings["revocation"],
        default_ttl=settings["default_ttl"],
        max_ttl=settings["max_ttl"],
    )
    if _connection_works(vault):
        return
    user, password = Postgres().vault_credentials(site)
    engine.configure(
        name=_CONNECTION,
        plugin_name="postgresql-database-plugin",
        allowed_roles=[ROLE],
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


def _hand_over_keys(site: Site, vault: hvac.Client) -> None:
    keys = {"minio": Minio().backend_keys(site), "redis": RedisCache().backend_keys(site)}
    for service, (user, secret) in keys.items():
        wanted = {"user": user, "secret": secret}
        if _kept(vault, service) != wanted:
            vault.secrets.kv.v2.create_or_update_secret(
                path=f"backend/{service}", secret=wanted, mount_point="kv"
            )


def _kept(vault: hvac.Client, service: str) -> Mapping[str, str] | None:
    try:
        answer = vault.secrets.kv.v2.read_secret_version(
            path=f"backend/{service}", mount_point="kv", raise_on_deleted_version=True
        )
    except hvac.exceptions.InvalidPath:
        return None
    found: Mapping[str, str] = answer["data"]["data"]
    return found


def _let_sign_in(site: Site, vault: hvac.Client) -> None:
    policy = (site.tree / "components" / "backend" / "vault-policy.hcl").read_text()
    vault.sys.create_or_update_policy(name=ROLE, policy=policy)
    vault.write_data(
        f"auth/kubernetes/role/{ROLE}",
        data={
            "bound_service_account_names": [ROLE],
            "bound_service_account_namespaces": [NAMESPACE],
            "audience": "vault",
            "token_policies": [ROLE],
            "token_no_default_policy": True,
            "token_period": "1h",  # renewed for as long as the process lives
        },
    )


def _settings(site: Site) -> dict[str, Any]:
    path = site.tree / "components" / "backend" / "database-role.toml"
    return tomllib.loads(path.read_text())
