"""The backend's PostgreSQL logins end early, as if their leases had expired."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import psycopg
from psycopg import sql

from infraforge.components.postgres import Connection, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.probes import logins

_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s)"
_EXISTS = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
_PAST = "2000-01-01"


@dataclass(frozen=True)
class LoginsEnd:
    """End every login that has sessions of the backend, and those sessions.

    Vault takes no part: if it is down as well, the backend cannot get another login.
    """

    def describe(self) -> str:
        return "end the backend's logins"

    def aim(self, site: Site) -> Ended:
        with Postgres().connect(site) as database:
            held = {
                session.user: session.valid_until.isoformat()
                for session in logins.of_backend(database)
                if session.valid_until is not None
            }
        if not held:
            raise ClusterError("the backend has no session under a login that expires")
        return Ended(RestoreLogins(held))


@dataclass(frozen=True)
class Ended:
    """The end of some logins."""

    lasting: ClassVar[bool] = False  # the backend gets new logins as soon as it can
    undo: RestoreLogins

    def strike(self, site: Site) -> None:
        users = list(self.undo.held)
        with Postgres().connect(site) as database:
            try:
                for user in users:
                    _valid_until(database, user, _PAST)
                database.execute(_END, (users,))
            except psycopg.Error as error:
                raise ClusterError(f"the logins cannot be ended: {error}") from error

    def took_effect(self, site: Site) -> str:
        with Postgres().connect(site) as database:
            left = {session.user for session in logins.of_backend(database)} & set(self.undo.held)
        return "" if left else f"no session of {', '.join(self.undo.held)}"


@dataclass(frozen=True)
class RestoreLogins:
    """Restore the logins' former expiry; logins that are gone are left out.

    held: login → its expiry (ISO 8601).
    """

    kind: ClassVar[str] = "restore-logins"
    held: Mapping[str, str]

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"held": json.dumps(dict(self.held), sort_keys=True)}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> RestoreLogins:
        held = json.loads(parameters["held"])
        return cls({str(user): str(end) for user, end in held.items()})

    def perform(self, site: Site) -> None:
        with Postgres().connect(site) as database:
            for user, end in self.held.items():
                row = database.execute(_EXISTS, (user,)).fetchone()
                if row and row[0]:
                    _valid_until(database, user, end)


def _valid_until(database: Connection, user: str, end: str) -> None:
    database.execute(
        sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(sql.Identifier(user), sql.Literal(end))
    )
