"""PostgreSQL answers but refuses changes: SQLSTATE 25006, as during every failover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import psycopg
from psycopg import sql

from infraforge.components.postgres import DATABASE, Connection, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError

# connect to another database: nobody could undo this from within the read-only one
_ELSEWHERE = "postgres"
_WHOSE = ["backend", "worker"]
_SET = "ALTER DATABASE {} SET default_transaction_read_only = on"
_RESET = "ALTER DATABASE {} RESET default_transaction_read_only"
_IS_SET = """
SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = %s AND s.setrole = 0 AND 'default_transaction_read_only=on' = ANY(s.setconfig)
"""
_NOW = "SELECT clock_timestamp()::text"
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = %s AND application_name = ANY(%s)
"""
_OLDER = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = %s AND application_name = ANY(%s) AND backend_start <= %s::timestamptz
"""


@dataclass(frozen=True)
class ReadOnly:
    """Make the application's database read-only, and end the sessions that could still write.

    Every session that begins meanwhile can only read, though it is a session with a primary.
    """

    def describe(self) -> str:
        return "make the application's database read-only"

    def aim(self, site: Site) -> Frozen:
        with Postgres().connect(site, _ELSEWHERE) as server:
            if _is_set(server):
                raise ClusterError("the database is read-only already; run: infraforge heal")
        return Frozen()


@dataclass(frozen=True)
class Thaw:
    """Let new sessions write again. Sessions that cannot are for their owners to end."""

    kind: ClassVar[str] = "writable"

    @property
    def parameters(self) -> Mapping[str, str]:
        return {}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Thaw:
        return cls()

    def perform(self, site: Site) -> None:
        with Postgres().connect(site, _ELSEWHERE) as server:
            try:
                server.execute(sql.SQL(_RESET).format(sql.Identifier(DATABASE)))
            except psycopg.Error as error:
                raise ClusterError(f"the database stays read-only: {error}") from error


@dataclass
class Frozen:
    """The read-only state. since: the server's time from which no session could write."""

    lasting: ClassVar[bool] = True
    since: str = ""
    undo: Thaw = field(default_factory=Thaw)

    def strike(self, site: Site) -> None:
        with Postgres().connect(site, _ELSEWHERE) as server:
            try:
                server.execute(sql.SQL(_SET).format(sql.Identifier(DATABASE)))
                self.since = str(_one(server.execute(_NOW)))
                server.execute(_END, (DATABASE, _WHOSE))
            except psycopg.Error as error:
                raise ClusterError(f"the database cannot be made read-only: {error}") from error

    def took_effect(self, site: Site) -> str:
        if not self.since:
            return ""
        with Postgres().connect(site, _ELSEWHERE) as server:
            older = int(str(_one(server.execute(_OLDER, (DATABASE, _WHOSE, self.since)))))
            if older or not _is_set(server):
                return ""
        with Postgres().connect(site) as database:
            shown = str(_one(database.execute("SHOW transaction_read_only")))
        return f"sessions since {self.since} are read-only" if shown == "on" else ""


def _is_set(server: Connection) -> bool:
    return bool(_one(server.execute(_IS_SET, (DATABASE,))))


def _one(cursor: psycopg.Cursor[tuple[object, ...]]) -> object:
    row = cursor.fetchone()
    return row[0] if row else None
