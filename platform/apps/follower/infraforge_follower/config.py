"""Settings, all from the environment and the files it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """Where the directory and Vault are, and how often the follower reads them.

    accessor: that of Vault's auth method for this directory; groups: the groups that Vault has.
    follow: seconds between reads of the directory; verify: seconds between full comparisons with
    Vault.
    """

    host: str
    port: int
    base: str
    account: str
    password: str = field(repr=False)
    ca_file: str
    vault_address: str
    vault_role: str
    vault_token_file: str
    accessor: str
    groups: tuple[str, ...]
    follow: float
    verify: float

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Config:
        """Raises KeyError for a setting that is missing."""
        return cls(
            host=env["LDAP_HOST"],
            port=int(env["LDAP_PORT"]),
            base=env["LDAP_BASE"],
            account=env["LDAP_ACCOUNT"],
            password=Path(env["LDAP_PASSWORD_FILE"]).read_text(),
            ca_file=env["CA_FILE"],
            vault_address=env["VAULT_ADDR"].rstrip("/"),
            vault_role=env["VAULT_ROLE"],
            vault_token_file=env["VAULT_TOKEN_FILE"],
            accessor=env["VAULT_ACCESSOR"],
            groups=tuple(env["GROUPS"].split()),
            follow=float(env["FOLLOW_SECONDS"]),
            verify=float(env["VERIFY_SECONDS"]),
        )
