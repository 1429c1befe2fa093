"""Tables: (row, column) → value, compared cell by cell. Who reaches what; who may do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

Cell: TypeAlias = "str | int | bool | None"


@dataclass(frozen=True, eq=False)
class Table(Mapping[tuple[str, str], Cell]):
    """Cells by (row, column), in the order in which they were given.

    Equal to a table with the same cells in any order. A cell that could not be observed is None,
    which equals only None, and `checkers.cells_match` calls it unknown.
    """

    cells: Mapping[tuple[str, str], Cell]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", MappingProxyType(dict(self.cells)))

    def __getitem__(self, place: tuple[str, str]) -> Cell:
        return self.cells[place]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and dict(self.cells) == dict(other.cells)

    def __hash__(self) -> int:
        return hash(frozenset(self.cells.items()))

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row for row, _ in self.cells))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for _, column in self.cells))

    def differing(self, expected: Table) -> tuple[tuple[str, str], ...]:
        """The places where the two differ, including those that only one of them has."""
        places = dict.fromkeys((*expected, *self))
        return tuple(
            place
            for place in places
            if place not in self or place not in expected or self[place] != expected[place]
        )

    def diff(self, expected: Table) -> str:
        """A line for each place where this table differs from `expected`; empty where none does."""
        places = self.differing(expected)
        lines = [
            f"{row} → {column}: {_told(self, row, column)}, not {_told(expected, row, column)}"
            for row, column in places
        ]
        if lines:
            lines.insert(0, f"{len(places)} of {len(expected)} cells differ from what is expected:")
        return "\n  ".join(lines)

    def to_list(self) -> list[list[Cell]]:
        """For JSON: `[row, column, value]` for each cell. Raises TypeError for another value."""
        for place, value in self.cells.items():
            if not all(isinstance(name, str) for name in place):
                raise TypeError(f"a cell's place must be two texts, not {place!r}")
            if value is not None and not isinstance(value, str | int | bool):
                raise TypeError(
                    f"{place[0]} → {place[1]} holds {value!r}, which a cell cannot hold"
                )
        return [[row, column, value] for (row, column), value in self.cells.items()]

    @classmethod
    def from_list(cls, cells: Iterable[Sequence[Any]]) -> Table:
        """Parse what `to_list` made. Raises ValueError for anything else, and for duplicates."""
        read: dict[tuple[str, str], Cell] = {}
        for cell in cells:
            row, column, value = cell
            odd = value is not None and not isinstance(value, str | int | bool)
            if odd or not isinstance(row, str) or not isinstance(column, str):
                raise ValueError(f"{cell!r} is not a cell of a table")
            if (row, column) in read:
                raise ValueError(f"{row} → {column} is there twice")
            read[row, column] = value
        return cls(read)

    def text(self) -> str:
        """The table in columns of plain text."""
        grid = self._grid()
        widths = [max(len(line[at]) for line in grid) for at in range(len(grid[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in grid
        )

    def markdown(self) -> str:
        """The table in Markdown."""
        head, *body = (
            [cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in self._grid()
        )
        lines = [head, ["---"] * len(head), *body]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def __str__(self) -> str:
        return self.text()

    def _grid(self) -> list[list[str]]:
        columns = self.columns
        body = [
            [row, *(_shown(self[row, name]) if (row, name) in self else "" for name in columns)]
            for row in self.rows
        ]
        return [["", *columns], *body]


def _told(table: Table, row: str, column: str) -> str:
    return _shown(table[row, column]) if (row, column) in table else "absent"


def _shown(value: Cell) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
