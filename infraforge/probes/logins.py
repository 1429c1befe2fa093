"""Who is signed in to PostgreSQL, and whether a given login is accepted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import psycopg

from infraforge.components.backend import DatabaseLogin
from infraforge.components.postgres import DATABASE, Connection, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError

_SESSIONS = """
SELECT DISTINCT a.usename, r.rolvaliduntil, r.rolsuper
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.datname = %s AND a.application_name = 'backend' AND a.usename IS NOT NULL
ORDER BY 1
"""
_COUNT = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = %s AND application_name IN ('backend', 'worker')
"""
_LOGINS = "SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1"
_NOT_THIS_ONE = ("authentication failed", "does not exist", "not permitted to log in")


@dataclass(frozen=True, order=True)
class Session:
    """A login behind sessions of the backend. valid_until: None where it never expires."""

    user: str
    valid_until: datetime | None
    superuser: bool


def of_backend(database: Connection) -> tuple[Session, ...]:
    """The logins behind the backend's sessions."""
    rows = database.execute(_SESSIONS, (DATABASE,)).fetchall()
    return tuple(Session(str(row[0]), row[1], bool(row[2])) for row in rows)


def sessions(database: Connection) -> int:
    """How many sessions the backend and its worker have at this server, primary or standby."""
    row = database.execute(_COUNT, (DATABASE,)).fetchone()
    return int(row[0]) if row else 0


def roles(database: Connection) -> tuple[str, ...]:
    """All roles that may log in."""
    return tuple(str(row[0]) for row in database.execute(_LOGINS).fetchall())


@contextlib.contextmanager
def signed_in(site: Site, login: DatabaseLogin) -> Iterator[Connection]:
    """A connection with that login. Raises ClusterError when it fails or PostgreSQL refuses it."""
    with Postgres().way_in(site) as port:
        try:
            connection = _connect(site, login, port)
        except psycopg.OperationalError as error:
            raise ClusterError(f"{login.user} cannot sign in: {error}") from error
        with contextlib.closing(connection):
            yield connection


def refusal(site: Site, login: DatabaseLogin) -> str:
    """PostgreSQL's own message when it refuses this login; empty when it accepts it.

    Raises ClusterError for every other failure: a broken connection is not a refusal.
    """
    with Postgres().way_in(site) as port:
        try:
            with contextlib.closing(_connect(site, login, port)):
                return ""
        except psycopg.OperationalError as error:
            words = str(error)
            if any(refused in words for refused in _NOT_THIS_ONE):
                return words
            raise ClusterError(
                f"it is unknown whether {login.user} can sign in: {words}"
            ) from error


def alive(connection: Connection) -> bool:
    """Whether the server still answers on this connection."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _connect(site: Site, login: DatabaseLogin, port: int) -> Connection:
    return psycopg.connect(
        host="localhost",  # the name in the server's certificate
        hostaddr="127.0.0.1",
        port=port,
        dbname=DATABASE,
        user=login.user,
        password=login.password,
        sslmode="verify-full",
        sslrootcert=str(site.ca_file),
        connect_timeout=10,
        application_name="infraforge",
        autocommit=True,
    )
