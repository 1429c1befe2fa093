"""Settings from the environment, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Config:
    """Addresses, paths and times; each field is the environment variable of that name in capitals.

    namespaces: the namespaces of the platform's components, separated by commas. audience, caller:
    the audience and the ServiceAccount that a request's token must have. caller_seconds: how long a
    token is trusted after the API server confirmed it. actions_kept: how many actions are kept.
    """

    kubernetes_address: str = "https://kubernetes.default.svc"
    kubernetes_ca_file: str = f"{_ACCOUNT}/ca.crt"
    kubernetes_token_file: str = f"{_ACCOUNT}/token"
    namespaces: str = ""
    audience: str = "platform-api"
    caller: str = "system:serviceaccount:infraforge-application:backend"
    caller_seconds: float = 10.0
    snapshot_seconds: float = 1.0
    registry_address: str = ""
    registry_prefix: str = ""
    registry_ca_file: str = "/etc/registry-ca/registry.crt"
    registry_seconds: float = 5.0
    actions_namespace: str = "infraforge-system"
    actions_name: str = "platform-api-actions"
    actions_kept: int = 500
    limits_file: str = "/etc/platform-api/limits.toml"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Config:
        """The configuration; ValueError names a variable that is not a number."""
        values: dict[str, object] = {}
        for field in fields(cls):
            text = environ.get(field.name.upper())
            if text is None:
                continue
            kind = type(field.default)
            try:
                values[field.name] = kind(text)
            except ValueError as error:
                raise ValueError(f"{field.name.upper()}={text!r} is no {kind.__name__}") from error
        return cls(**values)  # type: ignore[arg-type]

    @property
    def layers(self) -> tuple[str, ...]:
        """The namespaces."""
        return tuple(filter(None, (name.strip() for name in self.namespaces.split(","))))
