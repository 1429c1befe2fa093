"""The process' settings, read once from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Config:
    """Addresses, paths and times; each field is the environment variable of that name in capitals.

    postgres_host: the names of all members, separated by commas. redis_sentinels: host:port of each
    sentinel, separated by commas; empty if the cache is the one server `redis_host`. redis_master:
    the name under which the sentinels know the cache's master. cache_ttl_seconds: how long a cached
    value may live. lease_seconds: how long a process may trust its last look at the cache epoch.
    garbage_seconds: how long a replaced file's object stays for downloads already under way.
    ready_seconds: how long the database may be silent before this process reports itself unready.
    standing_seconds: how long Vault's answer about a person counts; standing_grace_seconds: how
    long it counts while Vault does not answer. nats_url: empty if the platform has no queue.
    jobs_limit: how many jobs may wait. retell_seconds: after how long a waiting job is announced
    again. vault_keys: the services whose keys Vault holds for this role.
    """

    ca_file: str = "/etc/platform-ca/ca.crt"
    vault_address: str = "https://vault.infraforge-security.svc:8200"
    vault_role: str = "backend"
    vault_token_file: str = "/var/run/secrets/vault/token"  # noqa: S105  a path
    postgres_host: str = "postgres.infraforge-data.svc"
    postgres_port: int = 5432
    postgres_database: str = "infraforge"
    redis_host: str = "redis-cache.infraforge-data.svc"
    redis_port: int = 6379
    redis_sentinels: str = ""
    redis_master: str = "cache"
    minio_endpoint: str = "minio.infraforge-data.svc:9000"
    postgres_namespace: str = "infraforge-data"
    platform_api_address: str = "https://platform-api.infraforge-system.svc:8443"
    platform_api_token_file: str = "/var/run/secrets/platform-api/token"  # noqa: S105  a path
    cache_ttl_seconds: float = 60.0
    lease_seconds: float = 2.0
    garbage_seconds: float = 60.0
    ready_seconds: float = 60.0
    standing_seconds: float = 20.0
    standing_grace_seconds: float = 3600.0
    file_limit_bytes: int = 100 * 1024 * 1024
    nats_url: str = ""
    jobs_limit: int = 100
    retell_seconds: float = 120.0
    vault_keys: str = "minio redis"

    @property
    def sentinels(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each sentinel; none if the cache is a single server."""
        parts = [one.strip().rpartition(":") for one in self.redis_sentinels.split(",")]
        return tuple((host, int(port)) for host, _, port in parts if port)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Config:
        """The configuration. Raises ValueError naming the variable that makes no sense."""
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
        made = cls(**values)  # type: ignore[arg-type]
        try:
            whole = all(host for host, _ in made.sentinels)
        except ValueError:
            whole = False
        if not whole:
            raise ValueError(f"REDIS_SENTINELS={made.redis_sentinels!r} is no list of host:port")
        return made
