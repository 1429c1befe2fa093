"""The figures that the platform promises, read from the tree in force, not repeated in suites."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from infraforge.components.site import Site
from infraforge.errors import Inconclusive

_DURATION = re.compile(r"(\d+)([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def cache_ttl(site: Site) -> float:
    """Seconds that a cached value may live."""
    return _backend_setting(site, "CACHE_TTL_SECONDS")


def standing(site: Site) -> float:
    """Seconds within which a disabled, demoted or removed person loses access."""
    return _backend_setting(site, "STANDING_SECONDS")


def idle_session(site: Site) -> int:
    """Seconds after which an unused session ends."""
    path = site.tree / "components" / "redis-sessions" / "idle.env"
    return int(_setting(path, "IDLE_SECONDS"))


def jobs_limit(site: Site) -> int:
    """The most jobs that may be queued."""
    return int(_backend_setting(site, "JOBS_LIMIT"))


def retelling(site: Site) -> float:
    """Seconds after which a job that is still queued is announced again."""
    return _backend_setting(site, "RETELL_SECONDS")


def object_keeping(site: Site) -> float:
    """Seconds for which the object of a replaced or deleted file stays, for running downloads."""
    return _backend_setting(site, "GARBAGE_SECONDS")


def lease_ttl(site: Site) -> int:
    """Seconds that a lease of a database login lives unless it is renewed."""
    path = site.tree / "components" / "backend" / "database-role.toml"
    text = str(tomllib.loads(path.read_text())["default_ttl"])
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Inconclusive(f"{path}: default_ttl {text!r} is not a number with s, m or h")
    return int(match[1]) * _UNITS[match[2]]


def _backend_setting(site: Site, name: str) -> float:
    return _setting(site.tree / "components" / "backend" / "settings.env", name)


def _setting(path: Path, name: str) -> float:
    for line in path.read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and key.strip() == name:
            return float(value)
    raise Inconclusive(f"{path} does not set {name}")
