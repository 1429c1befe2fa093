"""What the platform's own files promise in numbers: the tree in force says it, not the suites."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from infraforge.components.site import Site
from infraforge.errors import Inconclusive

_DURATION = re.compile(r"(\d+)([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def cache_ttl(site: Site) -> float:
    """Seconds a cached value may live."""
    return _backend_setting(site, "CACHE_TTL_SECONDS")


def standing(site: Site) -> float:
    """Seconds in which somebody who was disabled, demoted or removed has lost access."""
    return _backend_setting(site, "STANDING_SECONDS")


def idle_session(site: Site) -> int:
    """Seconds after which a session that nobody uses is ended."""
    path = site.tree / "components" / "redis-sessions" / "idle.env"
    return int(_setting(path, "IDLE_SECONDS"))


def jobs_limit(site: Site) -> int:
    """How many jobs may wait."""
    return int(_backend_setting(site, "JOBS_LIMIT"))


def retelling(site: Site) -> float:
    """Seconds after which a job that still waits is told of again."""
    return _backend_setting(site, "RETELL_SECONDS")


def object_keeping(site: Site) -> float:
    """Seconds the object of a replaced or deleted file stays, for downloads under way."""
    return _backend_setting(site, "GARBAGE_SECONDS")


def lease_ttl(site: Site) -> int:
    """Seconds a lease of a database login lives unless it is renewed."""
    path = site.tree / "components" / "backend" / "database-role.toml"
    text = str(tomllib.loads(path.read_text())["default_ttl"])
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Inconclusive(f"{path}: default_ttl {text!r} is no number of s, m or h")
    return int(found[1]) * _UNITS[found[2]]


def _backend_setting(site: Site, name: str) -> float:
    return _setting(site.tree / "components" / "backend" / "settings.env", name)


def _setting(path: Path, name: str) -> float:
    for line in path.read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and key.strip() == name:
            return float(value)
    raise Inconclusive(f"{path} does not say {name}")
