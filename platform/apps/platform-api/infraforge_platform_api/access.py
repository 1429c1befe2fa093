"""Access rules. The backend names the user; this service's own table says what the role may do.

The backend has already made the same check. This service repeats it, so that a mistake in the
backend opens nothing here. For the same reason the two share no code.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Role(enum.IntEnum):
    """Each role may do all that the lower ones may."""

    VIEWER = 1
    DEVELOPER = 2
    ADMIN = 3


RULES: Mapping[tuple[str, str], Role] = {
    ("GET", "/api/platform/openapi.json"): Role.VIEWER,
    ("GET", "/api/platform/components"): Role.VIEWER,
    ("GET", "/api/platform/components/<name>"): Role.VIEWER,
    ("PUT", "/api/platform/components/<name>/scale"): Role.ADMIN,
    ("POST", "/api/platform/components/<name>/restart"): Role.ADMIN,
    ("GET", "/api/platform/registry"): Role.VIEWER,
    ("GET", "/api/platform/actions"): Role.ADMIN,
}
"""(method, route) → the least role that may use it. Nobody may use a route that is not listed."""

OWN = frozenset({("GET", "/pods/<namespace>/<name>")})
"""Routes that the backend uses on its own behalf. It names no user, and no user can reach them."""


@dataclass(frozen=True)
class Identity:
    """The user a request comes from. role is None for a user in none of the platform's groups."""

    user: str
    groups: tuple[str, ...]
    role: Role | None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Identity | None:
        """The identity in a request's headers; None where they name no user."""
        user = _text(headers.get("X-Forwarded-User", ""))
        if not user:
            return None
        listed = _text(headers.get("X-Forwarded-Groups", "")).split(",")
        groups = tuple(sorted({group.strip() for group in listed} - {""}))
        known = [Role[name.upper()] for name in groups if name in _NAMES]
        return cls(user, groups, max(known, default=None))

    @property
    def role_name(self) -> str:
        return self.role.name.lower() if self.role else ""

    def may(self, method: str, route: str) -> bool:
        """Whether the table lets this identity use `method` on `route`; HEAD counts as GET."""
        needed = RULES.get(("GET" if method == "HEAD" else method, route))
        return needed is not None and self.role is not None and self.role >= needed


_NAMES = frozenset(role.name.lower() for role in Role)


def _text(value: str) -> str:
    """A header's value as UTF-8: WSGI hands bytes over as latin-1."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace").strip()
