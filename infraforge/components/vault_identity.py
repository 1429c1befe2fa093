"""People at Vault, and the OIDC provider that issues their tokens.

A person is a login of an auth method, an entity with the e-mail address, and an alias that joins
the two; groups contain entities. All functions are idempotent.
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
# from the password to the authorization code, with a wide margin
_LOGIN_SECONDS = 60
LOGIN_TOKEN: Mapping[str, Any] = {
    "token_policies": "login-user",  # the operator's policy allows this one and no other
    "token_no_default_policy": True,
    "token_ttl": _LOGIN_SECONDS,
    "token_max_ttl": _LOGIN_SECONDS,
}
"""Parameters of the token that a sign-in yields."""


@dataclass(frozen=True)
class User:
    """One person of `identity.toml`."""

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
    """OAuth2 Proxy's client credentials at the provider."""

    client_id: str
    client_secret: str = field(repr=False)


def new_password() -> str:
    """160 random bits, short enough to type."""
    return secrets.token_urlsafe(20)


def put_user(site: Site, vault: hvac.Client, user: User, password: str) -> None:
    """Make the person's login, entity, alias and groups exactly as given."""
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
    """Remove the person everywhere; no error if there is no such person."""
    with contextlib.suppress(hvac.exceptions.InvalidPath):
        entity = entity_id(vault, name)
        with _alone(site):
            for group in Identities.load(site.tree).groups:
                _set_member(vault, group, entity, wanted=False)
    vault.delete(f"identity/entity/name/{name}")
    vault.delete(f"auth/userpass/users/{name}")


def set_disabled(vault: hvac.Client, name: str, disabled: bool) -> None:
    """Disable or enable the person: a disabled one is refused even with the right password."""
    vault.write_data(f"identity/entity/name/{name}", data={"disabled": disabled})


def entity_id(vault: hvac.Client, name: str) -> str:
    """The person's entity id. Raises InvalidPath for an unknown person."""
    answer = vault.read(f"identity/entity/name/{name}")
    if answer is None:
        raise hvac.exceptions.InvalidPath(f"there is no entity {name!r}")
    entity: str = answer["data"]["id"]
    return entity


def accessor_of(vault: hvac.Client, method: str) -> str:
    """The accessor by which aliases refer to an auth method."""
    accessor: str = vault.sys.list_auth_methods()["data"][f"{method}/"]["accessor"]
    return accessor


def knows(vault: hvac.Client, user: User) -> bool:
    """Whether Vault's record of the person equals `user`: name, address, groups, disabled."""
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
    """The passwords of the people of `identity.toml`; made for those who have none yet."""
    users = [user.name for user in Identities.load(site.tree).users]
    known = dict(site.secret(USERS_SECRET, SYSTEM, lambda: {n: new_password() for n in users}))
    missing = set(users) - set(known)
    if missing:
        known |= {name: new_password() for name in missing}
        site.write_secret(USERS_SECRET, SYSTEM, known)
    return known


def password(site: Site, name: str) -> str:
    """The password of one of the platform's own people."""
    known = site.read_secret(USERS_SECRET, SYSTEM)
    if known is None or name not in known:
        raise ClusterError(
            f"{SYSTEM}/{USERS_SECRET} holds no password of {name!r}; run: infraforge up"
        )
    return known[name]


def put_groups(vault: hvac.Client, groups: Sequence[str]) -> None:
    """Create the groups; their members are kept."""
    for group in groups:
        vault.write_data(f"identity/group/name/{group}", data={"type": "internal"})


def put_provider(vault: hvac.Client, scopes: Mapping[str, str], redirect_uri: str) -> None:
    """Write provider `default`, its signing key, its scopes and its one confidential client."""
    # the key must stay verifiable for as long as the client's tokens live
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
            # both tokens are used once, right after sign-in; the session is the proxy's own
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
    """The id and secret that Vault generated for the client."""
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
    """One process at a time: Vault replaces a group's whole list, so adding is read, then write."""
    path = site.cluster.kubeconfig.with_name("vault-groups.lock")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
