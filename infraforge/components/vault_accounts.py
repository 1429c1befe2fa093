"""Each component's rights at Vault, and how it signs in there.

`components/NAME/vault-policy.hcl` holds the rights. `vault-role.toml` beside it holds `namespace`
(from where it signs in) and any of Vault's own `token_…` parameters, times in seconds. The harness'
own operator role can only read both, or it could grant itself any right: they are written while
Vault is settled, with a root token that is revoked afterwards.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac


@dataclass(frozen=True)
class Account:
    """One component's account. policy: HCL; role: the content of `auth/kubernetes/role/NAME`."""

    name: str
    policy: str
    role: Mapping[str, Any]


def accounts(tree: Path, components: Sequence[str]) -> list[Account]:
    """The accounts of those components that have one, in the given order."""
    declared = []
    for name in components:
        folder = tree / "components" / name
        if (folder / "vault-policy.hcl").exists():
            settings = tomllib.loads((folder / "vault-role.toml").read_text())
            role = {
                "bound_service_account_names": [name],
                "bound_service_account_namespaces": [settings.pop("namespace")],
                "audience": "vault",
                "token_policies": [name],
                "token_no_default_policy": True,
                **settings,
            }
            declared.append(Account(name, (folder / "vault-policy.hcl").read_text(), role))
    return declared


def put(vault: hvac.Client, wanted: Sequence[Account]) -> None:
    """Write policies and roles. Needs more rights than the operator role has."""
    for account in wanted:
        vault.sys.create_or_update_policy(name=account.name, policy=account.policy)
        vault.write_data(_role(account), data=account.role)


def there(vault: hvac.Client, wanted: Sequence[Account]) -> bool:
    """Whether Vault holds exactly these policies and roles."""
    for account in wanted:
        policy = vault.read(f"sys/policies/acl/{account.name}")
        role = vault.read(_role(account))
        if policy is None or policy["data"]["policy"] != account.policy or role is None:
            return False
        if any(role["data"].get(key) != value for key, value in account.role.items()):
            return False
    return True


def _role(account: Account) -> str:
    return f"auth/kubernetes/role/{account.name}"
