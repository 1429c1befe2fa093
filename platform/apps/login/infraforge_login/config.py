"""Settings, all from the environment and the files it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """The client that the page serves, and where Vault is.

    client_id, redirect_uri: the one client that may ask for a login, and where its answer goes.
    auth_path: the mount of Vault's login method, `auth/userpass` or, say, `auth/ldap`.
    key: signs the form; the same in every replica.
    timeout: seconds Vault may take for one answer.
    """

    vault_address: str
    ca_file: str
    client_id: str
    redirect_uri: str
    key: bytes = field(repr=False)
    auth_path: str = "auth/userpass"
    provider: str = "default"
    timeout: float = 5.0

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Config:
        """Raises KeyError for a setting that is missing, ValueError for a key that is too short."""
        key = Path(env["LOGIN_KEY_FILE"]).read_bytes().strip()
        if len(key) < 32:
            raise ValueError(f"{env['LOGIN_KEY_FILE']} holds less than 32 bytes")
        return cls(
            vault_address=env["VAULT_ADDR"].rstrip("/"),
            ca_file=env["VAULT_CACERT"],
            client_id=env["OIDC_CLIENT_ID"],
            redirect_uri=env["OIDC_REDIRECT_URI"],
            key=key,
            auth_path=env.get("VAULT_AUTH_PATH", cls.auth_path).strip("/"),
            provider=env.get("OIDC_PROVIDER", cls.provider),
        )
