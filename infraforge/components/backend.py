"""The backend: its set-up at Vault before it starts, and its leases, for probes to inspect."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import hvac

from infraforge.components import members
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.minio import Minio
from infraforge.components.nats import URL, Nats
from infraforge.components.passwords import passwords_of
from infraforge.components.postgres import DATABASE, Postgres
from infraforge.components.redis_cache import RedisCache
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.profile import Profile

NAMESPACE = "infraforge-application"
ROLE = "backend"
_ROLES = (ROLE, "worker")
_CONNECTION = "postgres"
_PREFIX = f"database/creds/{ROLE}"
_SENTINEL, _SENTINEL_NAMESPACE, _ASKS_SENTINELS = "redis-sentinel", "infraforge-access", "client"


@dataclass(frozen=True)
class Lease:
    """One lease of a database login. ttl: seconds left."""

    lease_id: str
    issued: str
    ttl: int


@dataclass(frozen=True)
class DatabaseLogin:
    """A PostgreSQL login as Vault issues it to the backend."""

    user: str
    password: str = field(repr=False)
    lease_id: str


class Backend(Component):
    """Flask under gunicorn; all its credentials come from Vault."""

    name = "backend"
    namespace = NAMESPACE
    needs = ("vault", "postgres", "redis-cache", "minio")
    listens = (Listener(8443),)
    reloads = True  # gunicorn reads it for each connection
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """Set up the database engine and the backend's keys at Vault."""
        site.config_map("backend-profile", NAMESPACE, profile_settings(site.profile))
        vault = site.vault()
        try:
            _set_up_database(site, vault)
            hand_over_keys(vault, ROLE, _keys(site))
        except hvac.exceptions.VaultError as error:
            raise ClusterError(f"Vault refused the backend's set-up: {error}") from error

    def active_leases(self, site: Site) -> tuple[Lease, ...]:
        """The leases of database logins that are in force now."""
        vault = site.vault()
        try:
            listed = vault.sys.list_leases(prefix=_PREFIX)["data"]["keys"]
        except hvac.exceptions.InvalidPath:
            return ()
        leases = []
        for key in listed:
            try:
                data = vault.sys.read_lease(f"{_PREFIX}/{key}")["data"]
            except hvac.exceptions.InvalidRequest:
                continue  # it ended between the listing and this request
            leases.append(Lease(data["id"], data["issue_time"], int(data["ttl"])))
        return tuple(leases)

    def new_login(self, site: Site) -> DatabaseLogin:
        """A login just like the backend's own, under a separate lease."""
        return _login(site.vault())

    def revoke(self, site: Site, lease_id: str) -> None:
        """End one lease now; returns once PostgreSQL has dropped its login."""
        site.vault().write_data("sys/leases/revoke", data={"lease_id": lease_id, "sync": True})

    def revoke_all(self, site: Site) -> None:
        """End every lease of the backend now."""
        site.vault().sys.revoke_prefix(f"{_PREFIX}/")


def profile_settings(profile: Profile) -> Mapping[str, str]:
    """The backend settings that depend on which other components the profile has."""
    settings: dict[str, str] = {}
    keys = ["minio", "redis"]
    if Nats.name in profile.components:
        settings["NATS_URL"] = URL
        keys.append("nats")
    if _SENTINEL in profile.components:
        keys.append("sentinel")
    if len(keys) > 2:  # what the application has by itself
        settings["VAULT_KEYS"] = " ".join(keys)
    if profile.identity.method == "ldap":
        # five of the promised 20 seconds are for the directory's follower to tell Vault
        settings["STANDING_SECONDS"] = "15"
    return settings


def create_login_role(site: Site, vault: hvac.Client, role: str) -> None:
    """Configure how Vault creates `role`'s logins, as `components/ROLE/database-role.toml` says."""
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
    """Give Vault its own login to PostgreSQL, with a password that Vault alone knows afterwards."""
    create_login_role(site, vault, ROLE)
    engine = vault.secrets.database
    pods = members.of(site.profile)
    url = members.url(pods, DATABASE)
    if _connection_works(vault, url):
        return
    # An idle connection to a member that went would hold up the first who asks for a login after
    # it, until the kernel gives up. With one member whoever asks waits for that one anyway.
    more = {"max_idle_connections": -1} if len(pods) > 1 else {}
    user, password = Postgres().vault_credentials(site)
    engine.configure(
        name=_CONNECTION,
        plugin_name="postgresql-database-plugin",
        allowed_roles=list(_ROLES),
        connection_url=url,
        username=user,
        password=password,
        password_authentication="scram-sha-256",  # noqa: S106  the method's name
        **more,
    )
    engine.rotate_root_credentials(_CONNECTION)


def _connection_works(vault: hvac.Client, url: str) -> bool:
    """Whether Vault can create logins there already (tested by creating one)."""
    try:
        known = vault.secrets.database.read_connection(_CONNECTION)["data"]
        # what stands before the @ Vault may mask
        there = str(known["connection_details"]["connection_url"]).partition("@")[2]
        if there != url.partition("@")[2]:
            return False
        made = _login(vault)
    except (hvac.exceptions.InvalidPath, hvac.exceptions.InvalidRequest):
        return False
    except hvac.exceptions.InternalServerError:
        return False  # PostgreSQL rejects its password: set a new one
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
    if _SENTINEL in site.profile.components:
        rules = tomllib.loads((_folder(site, _SENTINEL) / "users.toml").read_text())
        passwords = passwords_of(site, _SENTINEL, _SENTINEL_NAMESPACE, rules)
        keys["sentinel"] = (_ASKS_SENTINELS, passwords[_ASKS_SENTINELS])
    return keys


def hand_over_keys(vault: hvac.Client, role: str, keys: Mapping[str, tuple[str, str]]) -> None:
    """Store each service's user and secret where only `role` can read them."""
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
    pair: Mapping[str, str] = answer["data"]["data"]
    return pair


def _folder(site: Site, role: str) -> Path:
    return site.tree / "components" / role
