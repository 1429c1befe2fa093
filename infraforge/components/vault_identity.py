"""People at Vault, and the OIDC provider that vouches for them.

A person is a login of an auth method, an entity that carries the e-mail address, and the alias
that joins the two; groups hold entities. All functions may be repeated.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac

from infraforge.components.site import SYSTEM, Site
from infraforge.errors import ClusterError

ISSUER = "https://vault.infraforge-security.svc:8200"
CLIENT = "oauth2-proxy"
USERS_SECRET = "platform-users"  # noqa: S105  a Secret's name
_KEY = "platform"
# the time between the password and the authorization code, with a wide margin
_LOGIN_SECONDS = 60
LOGIN_TOKEN: Mapping[str, Any] = {
    "token_policies": "login-user",  # as the operator's policy has it: this one, and no other
    "token_no_default_policy": True,
    "token_ttl": _LOGIN_SECONDS,
    "token_max_ttl": _LOGIN_SECONDS,
}
"""What a password is exchanged for."""


@dataclass(frozen=True)
class User:
    """One person as `identity.toml` says."""

    name: str
    email: str
    groups: tuple[str, ...]
    disabled: bool = False


@dataclass(frozen=True)
class Identities:
    """`identity.toml`: groups, people, and scope → claims template."""

    groups: tuple[str, ...]
    users: tuple[User, ...]
    scopes: Mapping[str, str]

    @classmethod
    def load(cls, tree: Path) -> Identities:
        data = tomllib.loads((tree / "components" / "vault" / "identity.toml").read_text())
        users = (
            User(name, keys["email"], tuple(keys["groups"]), bool(keys.get("disabled", False)))
            for name, keys in data["users"].items()
        )
        return cls(tuple(data["groups"]), tuple(users), data["scopes"])


@dataclass(frozen=True)
class ClientCredentials:
    """What OAuth2 Proxy is at the provider."""

    client_id: str
    client_secret: str = field(repr=False)


def new_password() -> str:
    """160 random bits, typeable."""
    return secrets.token_urlsafe(20)


def put_user(site: Site, vault: hvac.Client, user: User, password: str) -> None:
    """Make the person exactly so: login, entity, alias, groups."""
    vault.write_data(
        f"auth/userpass/users/{user.name}",
        data={"password": password, **LOGIN_TOKEN},
    )
    vault.write_data(
        f"identity/entity/name/{user.name}",
        data={"metadata": {"email": user.email}, "disabled": user.disabled},
    )
    entity = entity_id(vault, user.name)
    vault.write_data(
        "identity/entity-alias",
        data={
            "name": user.name,
            "canonical_id": entity,
            "mount_accessor": accessor_of(vault, "userpass"),
        },
    )
    set_groups(site, vault, user.name, user.groups)


def set_groups(site: Site, vault: hvac.Client, name: str, groups: Sequence[str]) -> None:
    """Make the person a member of exactly these groups."""
    entity = entity_id(vault, name)
    with _alone(site):
        for group in Identities.load(site.tree).groups:
            _set_member(vault, group, entity, wanted=group in groups)


def drop_user(site: Site, vault: hvac.Client, name: str) -> None:
    """Remove the person everywhere; one who is not there is no error."""
    with contextlib.suppress(hvac.exceptions.InvalidPath):
        entity = entity_id(vault, name)
        with _alone(site):
            for group in Identities.load(site.tree).groups:
                _set_member(vault, group, entity, wanted=False)
    vault.delete(f"identity/entity/name/{name}")
    vault.delete(f"auth/userpass/users/{name}")


def set_disabled(vault: hvac.Client, name: str, disabled: bool) -> None:
    """Whether the person is let in at all, right password or not."""
    vault.write_data(f"identity/entity/name/{name}", data={"disabled": disabled})


def entity_id(vault: hvac.Client, name: str) -> str:
    """Raises InvalidPath for someone who is not there."""
    answer = vault.read(f"identity/entity/name/{name}")
    if answer is None:
        raise hvac.exceptions.InvalidPath(f"there is no entity {name!r}")
    found: str = answer["data"]["id"]
    return found


def accessor_of(vault: hvac.Client, method: str) -> str:
    """What aliases of an auth method refer to it by."""
    found: str = vault.sys.list_auth_methods()["data"][f"{method}/"]["accessor"]
    return found


def knows(vault: hvac.Client, user: User) -> bool:
    """Whether Vault says of the person what `user` says: name, address, groups, disabled."""
    answer = vault.read(f"identity/entity/name/{user.name}")
    if answer is None:
        return False
    entity = answer["data"]
    groups = {
        vault.read(f"identity/group/id/{key}")["data"]["name"] for key in entity["group_ids"] or ()
    }
    said = (entity["metadata"] or {}).get("email"), entity["disabled"], groups
    return bool(entity["aliases"]) and said == (user.email, user.disabled, set(user.groups))


def passwords(site: Site) -> Mapping[str, str]:
    """The passwords of the people of `identity.toml`; those who have none yet are given one."""
    users = [user.name for user in Identities.load(site.tree).users]
    found = dict(site.secret(USERS_SECRET, SYSTEM, lambda: {n: new_password() for n in users}))
    missing = set(users) - set(found)
    if missing:
        found |= {name: new_password() for name in missing}
        site.write_secret(USERS_SECRET, SYSTEM, found)
    return found


def password(site: Site, name: str) -> str:
    """The password of one of the platform's own people."""
    found = site.read_secret(USERS_SECRET, SYSTEM)
    if found is None or name not in found:
        raise ClusterError(f"there is no password of {name!r} in {SYSTEM}/{USERS_SECRET}")
    return found[name]


def put_groups(vault: hvac.Client, groups: Sequence[str]) -> None:
    """Make the groups; members stay."""
    for group in groups:
        vault.write_data(f"identity/group/name/{group}", data={"type": "internal"})


def put_provider(vault: hvac.Client, scopes: Mapping[str, str], redirect_uri: str) -> None:
    """Provider `default`, its signing key, scopes and the one confidential client."""
    # what the client's tokens outlive, the key must too
    key = {"algorithm": "RS256", "rotation_period": "24h", "verification_ttl": "24h"}
    vault.write_data(f"identity/oidc/key/{_KEY}", data=key)
    for name, template in scopes.items():
        vault.write_data(f"identity/oidc/scope/{name}", data={"template": template})
    vault.write_data(
        f"identity/oidc/client/{CLIENT}",
        data={
            "key": _KEY,
            "client_type": "confidential",
            "redirect_uris": [redirect_uri],
            "assignments": ["allow_all"],
            # both are used once, right after sign-in; the session is the proxy's own
            "id_token_ttl": "10m",
            "access_token_ttl": "10m",
        },
    )
    allowed = [client_credentials(vault).client_id]
    vault.write_data(f"identity/oidc/key/{_KEY}", data={**key, "allowed_client_ids": allowed})
    vault.write_data(
        "identity/oidc/provider/default",
        data={
            "issuer": ISSUER,
            "allowed_client_ids": allowed,
            "scopes_supported": sorted(scopes),
        },
    )


def client_credentials(vault: hvac.Client) -> ClientCredentials:
    """Id and secret that Vault has given the client."""
    data: dict[str, Any] = vault.read(f"identity/oidc/client/{CLIENT}")["data"]
    return ClientCredentials(data["client_id"], data["client_secret"])


def _set_member(vault: hvac.Client, group: str, entity: str, *, wanted: bool) -> None:
    data = vault.read(f"identity/group/name/{group}")["data"]
    members = list(data["member_entity_ids"] or ())
    if (entity in members) == wanted:
        return
    changed = [*members, entity] if wanted else [item for item in members if item != entity]
    vault.write_data(f"identity/group/name/{group}", data={"member_entity_ids": changed})


@contextlib.contextmanager
def _alone(site: Site) -> Iterator[None]:
    """One process at a time: Vault only knows a group's whole list, so adding is read and write."""
    path = site.cluster.kubeconfig.with_name("vault-groups.lock")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
