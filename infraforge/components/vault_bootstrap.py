"""Vault's first minutes: initialise, unseal, do all that needs a root token, then revoke it.

Idempotent at any point. A run that was killed half-way leaves Vault initialised, with its key in
the Secret: the next run generates another root token with that key, finishes, and revokes every
root token. Only a kill between Vault's answer to `init` and the write of the Secret loses the key;
that case is reported, never hidden.
"""

from __future__ import annotations

import base64
import contextlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hvac
import requests

from infraforge.components import vault_accounts
from infraforge.components.site import OPERATOR, SYSTEM, Site
from infraforge.errors import ClusterError
from infraforge.wait import seconds, wait_until

NAMESPACE = "infraforge-security"
UNSEAL_SECRET = "vault-unseal"  # noqa: S105  a Secret's name
_POLICIES = ("operator", "login-user")
_NOT_YET = (hvac.exceptions.VaultError, requests.RequestException, ClusterError)
# a lock by name would let a stranger lock anybody out; the login page slows guessing instead
_LOCKOUT = {"lockout_disable": True}


@contextlib.contextmanager
def member(site: Site, name: str) -> Iterator[hvac.Client]:
    """A client of one Vault server, reached at its own pod (ready or not), not signed in.

    Raises TimedOut when the server does not answer within a minute.
    """

    def answers() -> bool:
        # a forward that met a closed port is dead: each look makes its own
        with site.forward(NAMESPACE, f"pod/{name}", 8200) as port:
            _client(site, port).seal_status  # noqa: B018  read for its errors alone
        return True

    wait_until(answers, seconds(60), ignoring=_NOT_YET, what=f"{name} answers")
    with site.forward(NAMESPACE, f"pod/{name}", 8200) as port:
        yield _client(site, port)


def open_up(site: Site, name: str) -> None:
    """Initialise if needed, unseal, and settle what only root may; no root token is left.

    Raises ClusterError when Vault is initialised but its unseal key was never stored.
    """
    with member(site, name) as vault:
        root = _initialise(site, vault)
        key = _unseal_key(site)
        if vault.sys.is_sealed():
            vault.sys.submit_unseal_key(key=key)
        wait_until(lambda: _active(vault), seconds(30), ignoring=_NOT_YET, what="Vault is active")
        if root is None and _settled(site):
            return
        vault.token = root or _another_root_token(vault, key)
        _settle(vault, _folder(site), site.profile.identity.method)
        vault_accounts.put(vault, accounts(site))
        _revoke_root_tokens(vault)


def accounts(site: Site) -> Sequence[vault_accounts.Account]:
    """The Vault accounts of the profile's components."""
    return vault_accounts.accounts(site.tree, tuple(site.profile.components))


def _client(site: Site, port: int) -> hvac.Client:
    return hvac.Client(
        url=f"https://127.0.0.1:{port}", token="", verify=str(site.ca_file), timeout=15
    )


def _initialise(site: Site, vault: hvac.Client) -> str | None:
    """Initialise a new Vault and store its key; its root token, or None where it was not new."""
    if vault.sys.is_initialized():
        return None
    answer = vault.sys.initialize(secret_shares=1, secret_threshold=1)
    site.write_secret(UNSEAL_SECRET, NAMESPACE, {"key": answer["keys_base64"][0]})
    root: str = answer["root_token"]
    return root


def _unseal_key(site: Site) -> str:
    secret = site.read_secret(UNSEAL_SECRET, NAMESPACE)
    if not secret or "key" not in secret:
        raise ClusterError(
            "Vault is initialised, but a run was killed before it stored the unseal key,"
            " so Vault's data cannot be read any more;"
            " run `infraforge down` and then `infraforge up`"
        )
    return secret["key"]


def _active(vault: hvac.Client) -> bool:
    """Whether Vault serves requests: besides being unsealed, it needs an elected leader."""
    leader = vault.sys.read_leader_status()
    if not leader.get("leader_address"):
        return False
    # hvac returns a bare response for any status but 200
    return not leader["is_self"] or isinstance(vault.sys.read_health_status(method="GET"), dict)


def _settled(site: Site) -> bool:
    """Whether the operator role works, and audit devices and policies are those of the tree."""
    try:
        vault = site.vault()
        for name in _POLICIES:
            path = _folder(site) / "policies" / f"{name}.hcl"
            if vault.read(f"sys/policies/acl/{name}")["data"]["policy"] != path.read_text():
                return False
        if _audit_devices(vault) != audit_devices(_folder(site)):
            return False
        if not vault_accounts.there(vault, accounts(site)):
            return False
    except (hvac.exceptions.VaultError, ClusterError):
        return False
    return True


def _another_root_token(vault: hvac.Client, key: str) -> str:
    """A new root token, generated with the unseal key (Vault's generate-root)."""
    vault.sys.cancel_root_generation()
    started = vault.sys.start_root_token_generation()
    answer = vault.sys.generate_root(key=key, nonce=started["nonce"])
    return decode_root_token(answer["encoded_token"], started["otp"])


def decode_root_token(encoded: str, one_time_pad: str) -> str:
    """The token, which Vault returns XORed with the pad, in base64 without padding."""
    raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    return bytes(a ^ b for a, b in zip(raw, one_time_pad.encode(), strict=True)).decode()


def _folder(site: Site) -> Path:
    return site.tree / "components" / "vault"


def audit_devices(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """`audit.toml`: name of an audit device → its type and options."""
    devices: Mapping[str, Mapping[str, Any]] = tomllib.loads((folder / "audit.toml").read_text())
    return devices


def _audit_devices(vault: hvac.Client) -> Mapping[str, Mapping[str, Any]]:
    """The audit devices that Vault has, in the form of `audit_devices`."""
    there = vault.sys.list_enabled_audit_devices()["data"]
    return {
        path.rstrip("/"): {"type": device["type"], "options": device["options"] or {}}
        for path, device in there.items()
    }


def settle_audit(vault: Any, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Make Vault have exactly these audit devices.

    New ones are enabled before old ones go, so auditing never pauses, except where the only
    device changes.
    """
    there = _audit_devices(vault)
    new = {name: device for name, device in wanted.items() if name not in there}
    changed = {n: device for n, device in wanted.items() if n in there and there[n] != device}
    for name, device in new.items():
        _enable(vault, name, device)
    for name in sorted(there.keys() - wanted.keys()):
        vault.sys.disable_audit_device(name)
    for name, device in changed.items():
        vault.sys.disable_audit_device(name)
        _enable(vault, name, device)


def _enable(vault: Any, name: str, device: Mapping[str, Any]) -> None:
    vault.sys.enable_audit_device(device["type"], path=name, options=device["options"])


def _settle(vault: hvac.Client, folder: Path, method: str) -> None:
    """Write audit devices, engines, auth methods, policies, operator role. Needs a root token.

    folder: the component's; method: the auth method that verifies people's passwords.
    """
    settle_audit(vault, audit_devices(folder))
    mounts = vault.sys.list_mounted_secrets_engines()["data"]
    if "kv/" not in mounts:
        vault.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
    if "database/" not in mounts:
        vault.sys.enable_secrets_engine("database", path="database")
    methods = vault.sys.list_auth_methods()["data"]
    for wanted in (method, "kubernetes"):
        if f"{wanted}/" not in methods:
            vault.sys.enable_auth_method(wanted, path=wanted)
    vault.write_data(f"sys/auth/{method}/tune", data={"user_lockout_config": _LOCKOUT})
    # Vault uses its pod's own CA and token for TokenReview, and rereads them when they change
    vault.write_data(
        "auth/kubernetes/config",
        data={"kubernetes_host": "https://kubernetes.default.svc:443"},
    )
    for name in _POLICIES:
        policy = (folder / "policies" / f"{name}.hcl").read_text()
        vault.sys.create_or_update_policy(name=name, policy=policy)
    vault.write_data(
        "auth/kubernetes/role/operator",
        data={
            "bound_service_account_names": [OPERATOR],
            "bound_service_account_namespaces": [SYSTEM],
            "audience": "vault",
            "token_policies": ["operator"],
            "token_no_default_policy": True,
            "token_ttl": "10m",
            "token_max_ttl": "30m",
        },
    )


def _revoke_root_tokens(vault: hvac.Client) -> None:
    """Revoke every root token, those of killed runs included; our own last."""
    own = vault.auth.token.lookup_self()["data"]["accessor"]
    for accessor in root_accessors(vault):
        if accessor != own:
            vault.auth.token.revoke_accessor(accessor)
    vault.auth.token.revoke_self()


def root_accessors(vault: hvac.Client) -> list[str]:
    """The accessors of all root tokens."""
    accessors = []
    for accessor in vault.auth.token.list_accessors()["data"]["keys"]:
        try:
            data: dict[str, Any] = vault.auth.token.lookup_accessor(accessor)["data"]
        except (
            hvac.exceptions.InvalidPath,
            hvac.exceptions.InvalidRequest,
            hvac.exceptions.Forbidden,
        ):
            continue  # it ended between the listing and this request
        if "root" in data["policies"]:
            accessors.append(accessor)
    return accessors
