"""What an error of PostgreSQL says of a statement: surely not done, or nobody can tell. Pure.

    Failed     surely not done             recorded as *fail*
    Unsure     done or not                 recorded as *info*

The rule: until the statement that commits was sent, nothing can have happened. Once it was, only an
error that aborts the transaction, told by a server that goes on, says so; all else is unsure. See
https://www.postgresql.org/docs/17/errcodes-appendix.html and, for the notice,
https://www.postgresql.org/docs/17/warm-standby.html#SYNCHRONOUS-REPLICATION.
"""

from __future__ import annotations

import psycopg

WAITS_FOR_STANDBY = "SyncRepWaitForLSN"
"""The function in PostgreSQL's source that warns when it waits for a standby no more; its words
are translated, its name is not."""

_ABORTED = (
    "0A",  # feature not supported
    "22",  # data exception
    "23",  # integrity constraint violation
    "25",  # invalid transaction state: 25006, the server is read-only
    "28",  # invalid authorization
    "3D",  # invalid catalog name
    "3F",  # invalid schema name
    "40",  # transaction rollback: 40001, 40P01
    "42",  # syntax error or access rule violation
    "44",  # WITH CHECK OPTION violation
    "53",  # insufficient resources
    "54",  # program limit exceeded
    "55",  # object not in prerequisite state
    "P0",  # raised by PL/pgSQL
)
"""Classes of errors that end a transaction before it has committed."""
_UNSURE = ("40003",)  # statement completion unknown
_CANCELED = "57014"  # as an error; a wait for a standby that is cancelled is a warning instead
_GONE = ("57P", "25006", "08")
"""Of servers that go away or may not be written to: another connection is wanted."""


class Failed(Exception):
    """Surely not done."""


class Unsure(Exception):
    """Done or not, nobody can tell."""


def meaning(error: psycopg.Error, *, sent: bool) -> Failed | Unsure:
    """What the error says of the statement that commits. sent: whether that was sent already.

    A connection that broke has no SQLSTATE.
    """
    state = error.sqlstate or ""
    told = f"{state or 'no SQLSTATE'}: {' '.join(str(error).split())}"
    aborted = state.startswith(_ABORTED) and state not in _UNSURE
    fatal = error.diag.severity_nonlocalized in ("FATAL", "PANIC")
    if not sent or (not fatal and (aborted or state == _CANCELED)):
        return Failed(told)
    return Unsure(told)


def reconnects(error: psycopg.Error) -> bool:
    """Whether a client had better connect anew after this error.

    A former primary that lives on answers 25006 for as long as somebody stays connected to it.
    """
    return not error.sqlstate or error.sqlstate.startswith(_GONE)
