"""Who may do what: identity from the ingress' headers, and one table of rules.

The ingress sets `X-Forwarded-Subject`, `-User`, `-Email` and `-Groups` after it has checked the
session, and drops what came from outside under those names; only the ingress can reach this
process. The groups are those of the sign-in: `Identity.now` replaces them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from infraforge_backend.standing import Standing


class Role(enum.IntEnum):
    """Each role may do all that the lower ones may."""

    VIEWER = 1
    DEVELOPER = 2
    ADMIN = 3


RULES: Mapping[tuple[str, str], Role] = {
    ("GET", "/api/me"): Role.VIEWER,
    ("GET", "/api/health"): Role.VIEWER,
    ("GET", "/api/projects"): Role.VIEWER,
    ("POST", "/api/projects"): Role.DEVELOPER,
    ("GET", "/api/projects/<uuid:project_id>"): Role.VIEWER,
    ("PUT", "/api/projects/<uuid:project_id>"): Role.DEVELOPER,
    ("DELETE", "/api/projects/<uuid:project_id>"): Role.DEVELOPER,
    ("GET", "/api/projects/<uuid:project_id>/files"): Role.VIEWER,
    ("GET", "/api/projects/<uuid:project_id>/files/<path:name>"): Role.VIEWER,
    ("PUT", "/api/projects/<uuid:project_id>/files/<path:name>"): Role.DEVELOPER,
    ("DELETE", "/api/projects/<uuid:project_id>/files/<path:name>"): Role.DEVELOPER,
    ("GET", "/api/projects/<uuid:project_id>/jobs"): Role.VIEWER,
    ("POST", "/api/projects/<uuid:project_id>/jobs"): Role.DEVELOPER,
    ("GET", "/api/projects/<uuid:project_id>/jobs/<uuid:job_id>"): Role.VIEWER,
    ("GET", "/api/audit"): Role.ADMIN,
    ("GET", "/api/platform/openapi.json"): Role.VIEWER,
    ("GET", "/api/platform/components"): Role.VIEWER,
    ("GET", "/api/platform/components/<name>"): Role.VIEWER,
    ("PUT", "/api/platform/components/<name>/scale"): Role.ADMIN,
    ("POST", "/api/platform/components/<name>/restart"): Role.ADMIN,
    ("GET", "/api/platform/registry"): Role.VIEWER,
    ("GET", "/api/platform/actions"): Role.ADMIN,
}
"""(method, route) → the least role that may use it. What is not here, nobody may use."""


@dataclass(frozen=True)
class Identity:
    """Who asks. role is None for a user in none of the platform's groups.

    subject: the entity at Vault that signed in; unlike a name, it is never somebody else's later.
    """

    subject: str
    user: str
    email: str
    groups: tuple[str, ...]
    role: Role | None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Identity | None:
        """The identity in a request's headers; None where the ingress named no user."""
        subject = _text(headers.get("X-Forwarded-Subject", ""))
        user = _text(headers.get("X-Forwarded-User", ""))
        if not user or not _SUBJECT.fullmatch(subject):
            return None
        listed = _text(headers.get("X-Forwarded-Groups", "")).split(",")
        groups = tuple(sorted({group.strip() for group in listed} - {""}))
        email = _text(headers.get("X-Forwarded-Email", ""))
        return cls(subject, user, email, groups, _role(groups))

    def now(self, standing: Standing) -> Identity | None:
        """The same person as Vault knows them now; None for one who may not be here any more."""
        if standing.disabled or standing.user != self.user:
            return None
        return replace(self, groups=standing.groups, role=_role(standing.groups))

    @property
    def role_name(self) -> str:
        return self.role.name.lower() if self.role else ""

    def may(self, method: str, route: str) -> bool:
        """Whether the table lets this identity use `method` on `route`; HEAD counts as GET."""
        needed = RULES.get(("GET" if method == "HEAD" else method, route))
        return needed is not None and self.role is not None and self.role >= needed


_NAMES = frozenset(role.name.lower() for role in Role)
_SUBJECT = re.compile(r"[A-Za-z0-9-]{1,64}")  # it becomes part of a path


def _role(groups: Iterable[str]) -> Role | None:
    return max((Role[name.upper()] for name in groups if name in _NAMES), default=None)


def _text(value: str) -> str:
    """A header's value as UTF-8: WSGI hands bytes over as latin-1."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace").strip()
