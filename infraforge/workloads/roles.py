"""The table of roles as data: role, method and path → allowed or denied; how to try each cell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ALLOWED, DENIED = "allowed", "denied"
NOBODY = "nobody"


@dataclass(frozen=True)
class Row:
    """One method of one endpoint. path: with `{project}`; route: as the backend spells it.

    answers: statuses that mean it was done, or would have been if its target existed.
    """

    method: str
    path: str
    route: str
    allowed: tuple[str, ...]
    answers: tuple[int, ...]
    sends: str = ""
    kind: str = "application/json"

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def changes(self) -> bool:
        """Whether the request changes anything."""
        return self.method not in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Roles:
    """The whole table. inner: the backend's paths that the front door must not expose."""

    roles: tuple[str, ...]
    methods: tuple[str, ...]
    inner: tuple[str, ...]
    declared: tuple[Row, ...]

    @classmethod
    def load(cls, path: Path) -> Roles:
        data = tomllib.loads(path.read_text())
        rows = tuple(
            Row(
                item["method"],
                item["path"],
                item.get("route", item["path"]),
                tuple(item["allowed"]),
                _statuses(item["answers"]),
                item.get("sends", ""),
                item.get("kind", Row.kind),
            )
            for item in data["rows"]
        )
        return cls(tuple(data["roles"]), tuple(data["methods"]), tuple(data["inner"]), rows)

    def rows(self) -> Iterator[Row]:
        """A row for every method of every path, including those that nobody may use."""
        known = {(row.method, row.path): row for row in self.declared}
        for path, route in dict.fromkeys((row.path, row.route) for row in self.declared):
            for method in self.methods:
                row = known.get((method, path))
                if row is None and method == "HEAD" and ("GET", path) in known:
                    get = known["GET", path]
                    row = Row("HEAD", path, route, get.allowed, get.answers)
                yield row or Row(method, path, route, (), ())

    def cell(self, role: str, row: Row) -> str:
        return ALLOWED if role in row.allowed else DENIED


def _statuses(told: int | list[int]) -> tuple[int, ...]:
    return (told,) if isinstance(told, int) else tuple(told)


def treated(row: Row, status: int, kind: str) -> str:
    """How a request for the row was treated, in the table's words; else the status and type.

    A refusal is a problem document; the answer to HEAD has no body, but the same content type.
    """
    if status in row.answers:
        return ALLOWED
    if status in (401, 403, 405) and kind.split(";", maxsplit=1)[0] == "application/problem+json":
        return DENIED
    return f"{status} {kind}".rstrip()
