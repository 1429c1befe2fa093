"""Whether PostgreSQL's members hold the same rows, and indexes that fit their tables.

A table's digest is taken on the primary before and after a standby's, and the standby has replayed
by then what the primary had written before. Two equal digests of the primary show that nothing
changed between: the standby's must then be equal, too. Where somebody writes all the time, nothing
is known, and it is taken again.

Indexes are checked by amcheck (https://www.postgresql.org/docs/17/amcheck.html), with every row of
the table looked up (`heapallindexed`). The extension is made for it, and dropped afterwards.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from infraforge.components import members
from infraforge.components.postgres import Connection, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.table import Cell, Table
from infraforge.wait import Deadline, NotYet, wait_until

_TABLES: LiteralString = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND n.nspname NOT LIKE 'pg\\_toast%' AND c.relpersistence = 'p' ORDER BY 1, 2
"""
_DIGEST: LiteralString = (
    "SELECT coalesce(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), 'empty') FROM {} t"
)
_WRITTEN: LiteralString = "SELECT pg_current_wal_flush_lsn()::text"
_REPLAYED: LiteralString = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
_CHECKED: LiteralString = """
SELECT c.oid::regclass::text, bt_index_check(c.oid, true)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.amname = 'btree' AND c.relpersistence = 'p' AND i.indisvalid
"""
"""Of all tables, the catalogue's as well."""


def of_members(site: Site, within: float) -> Table:
    """Row: the table; column: the member; cell: the digest of all of its rows.

    within: seconds for all. Raises TimedOut where the rows did not stand still in time,
    ClusterError where a member cannot be asked.
    """
    deadline = Deadline(within)
    primary = Postgres().primary(site)
    standbys = [pod for pod in members.of(site.profile) if pod != primary]
    cells: dict[tuple[str, str], Cell] = {}
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(Postgres().connect_member(site, primary))
        for pod in standbys:
            standby = stack.enter_context(Postgres().connect_member(site, pod))
            for schema, name in _rows(leader, _TABLES):
                table = sql.Identifier(str(schema), str(name))
                cells[f"{schema}.{name}", primary], cells[f"{schema}.{name}", pod] = wait_until(
                    functools.partial(_both, leader, standby, table),
                    deadline,
                    every=0.2,
                    what=f"nobody writes into {schema}.{name}",
                )
    return Table(cells)


def indexes(site: Site) -> Table:
    """Row: the member; column: `indexes that do not fit`; cell: what amcheck says, "" of none.

    Raises ClusterError where a member cannot be asked.
    """
    cells: dict[tuple[str, str], Cell] = {}
    with _amcheck(site):
        for pod in members.of(site.profile):
            with Postgres().connect_member(site, pod) as connection:
                cells[pod, "indexes that do not fit"] = _unfit(connection)
    return Table(cells)


def _both(leader: Connection, standby: Connection, table: sql.Identifier) -> tuple[str, str]:
    """The primary's digest and the standby's. Raises NotYet while the primary's changes."""
    before = _digest(leader, table)
    [(written,)] = _rows(leader, _WRITTEN)
    if _rows(standby, _REPLAYED, written) != [(True,)]:
        raise NotYet(f"{written} is not replayed")
    there = _digest(standby, table)
    if _digest(leader, table) != before:
        raise NotYet("its rows change")
    return before, there


def _digest(connection: Connection, table: sql.Identifier) -> str:
    [(found,)] = _rows(connection, sql.SQL(_DIGEST).format(table))
    return str(found)


def _rows(
    connection: Connection, statement: LiteralString | sql.Composed, *values: object
) -> Sequence[tuple[object, ...]]:
    try:
        return connection.execute(statement, values or None).fetchall()
    except psycopg.Error as error:
        raise ClusterError(f"a member does not say what it holds: {error}") from error


@contextlib.contextmanager
def _amcheck(site: Site) -> Iterator[None]:
    """The extension, on every member."""
    made: LiteralString = "CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog"
    with Postgres().connect(site) as connection:
        try:
            connection.execute(made)
            yield
        except psycopg.Error as error:
            raise ClusterError(f"indexes cannot be checked: {error}") from error
        finally:
            connection.execute("DROP EXTENSION IF EXISTS amcheck")


def _unfit(connection: Connection) -> str:
    try:
        connection.execute(_CHECKED).fetchall()
    except psycopg.errors.DataError as error:  # XX002, index_corrupted, and its like
        return str(error).strip()
    except psycopg.Error as error:
        if (error.sqlstate or "").startswith("XX00"):
            return str(error).strip()
        raise
    return ""
