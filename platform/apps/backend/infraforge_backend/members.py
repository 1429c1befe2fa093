"""The members of PostgreSQL by name, and a connection to whichever is primary.

psycopg would try the names in their order, each for its `connect_timeout`: a dead host in front
would cost every new connection those seconds, and what waits for the pool waits behind it. So this
process remembers which member was primary last and begins there, and leaves one that was silent
alone for a while as long as another says anything. What it remembers is only an order: whether a
member is primary, the member says itself, at every connection (`target_session_attrs`). Primary is
what is asked for, and not read-write: one whose database takes no changes is still to be read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

AVOIDED = 5.0
"""Seconds for which a member that was silent is not asked, where others are there to be."""
PATIENCE = 2
"""Seconds for one of several members to answer; the least that libpq takes."""
_SILENT = 1.0
"""A failure that took so many seconds was no answer: an answer, or a refusal, comes at once."""

Connect = Callable[..., "psycopg.Connection[dict[str, Any]]"]


class NoPrimary(psycopg.OperationalError):
    """No member is primary and takes the connection. errors: what each said, by its name."""

    def __init__(self, errors: Mapping[str, psycopg.Error]) -> None:
        said = "; ".join(f"{host}: {_first_line(error)}" for host, error in errors.items())
        super().__init__(f"no member is primary: {said}")
        self.errors = errors


class Members:
    """The members as one process knows them. Safe to use from several threads.

    hosts: their names, at least one.
    """

    def __init__(self, hosts: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._hosts = tuple(hosts)
        self._clock = clock
        self._lock = threading.Lock()
        self._primary = ""
        self._avoided: dict[str, float] = {}

    @classmethod
    def of(cls, names: str) -> Members:
        """Of names with commas between them."""
        return cls([name.strip() for name in names.split(",") if name.strip()])

    @property
    def several(self) -> bool:
        return len(self._hosts) > 1

    @property
    def primary(self) -> str:
        """The member that was primary last; "" before any was."""
        with self._lock:
            return self._primary

    def order(self) -> list[str]:
        """Whom to ask, in this order: never nobody."""
        now = self._clock()
        with self._lock:
            first = [self._primary] if self._primary else []
            rest = [host for host in self._hosts if host != self._primary]
            wanted = [h for h in (*first, *rest) if self._avoided.get(h, now) <= now]
        return wanted or list(self._hosts)

    def connect(self, connect: Connect, **parameters: Any) -> psycopg.Connection[dict[str, Any]]:
        """A connection to the first member that is primary, by `connect(host=…, **parameters)`.

        Raises what the only member's attempt raised, or NoPrimary.
        """
        if self.several:
            parameters["connect_timeout"] = PATIENCE
        errors: dict[str, psycopg.Error] = {}
        for host in self.order():
            began = self._clock()
            try:
                connection = connect(host=host, **parameters)
            except psycopg.OperationalError as error:
                errors[host] = error
                self._failed(host, silent=self._clock() - began >= _SILENT)
            else:
                self._leads(host)
                return connection
        if not self.several:
            raise next(iter(errors.values()))
        raise NoPrimary(errors)

    def _leads(self, host: str) -> None:
        with self._lock:
            self._primary = host
            self._avoided.pop(host, None)

    def _failed(self, host: str, *, silent: bool) -> None:
        with self._lock:
            if silent:
                self._avoided[host] = self._clock() + AVOIDED
            if host == self._primary:
                self._primary = ""


class MemberConnection(psycopg.Connection[dict[str, Any]]):
    """What a pool makes: `connect` takes the members as `members` among its keywords."""

    @classmethod
    def connect(  # type: ignore[override]
        cls, conninfo: str = "", *, members: Members, **parameters: Any
    ) -> psycopg.Connection[dict[str, Any]]:
        one = super().connect
        return members.connect(lambda **all_of_them: one(conninfo, **all_of_them), **parameters)


def each(error: psycopg.Error) -> list[psycopg.Error]:
    """What each member that was asked said; the error itself where only one was."""
    return list(error.errors.values()) if isinstance(error, NoPrimary) else [error]


def _first_line(error: psycopg.Error) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
