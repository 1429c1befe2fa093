"""Read a TOML file into frozen dataclasses, by pydantic, and tell a mistake in one line.

A dataclass that is read has `__pydantic_config__ = STRICT`: no key that it does not have, and no
value of another type than it says.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from infraforge.errors import UsageError

STRICT: Final[dict[str, Any]] = {"extra": "forbid", "strict": True}
_UNKNOWN = "unexpected_keyword_argument"
_TOML = {
    "dataclass_type": "must be a table",
    "mapping_type": "must be a table",
    "tuple_type": "must be a list",
}
"""Error type → message in TOML's terms; pydantic names Python's types."""
Read = TypeVar("Read")


def toml(path: Path) -> dict[str, Any]:
    """The file's tables. Raises UsageError, with the path, where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def parsed(path: Path, data: Mapping[str, Any], kind: type[Read]) -> Read:
    """The tables of `path` as a `kind`, a dataclass.

    Raises UsageError with file, key and value; for an unknown key with the known ones, too.
    """

    def odd(value: object) -> Any:  # a date or time, which JSON would turn into a string
        raise UsageError(f"{path}: {value} must stand in quotes: no key takes a date or a time")

    # whoever reads no such file need not wait for the import
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    try:
        # as JSON, in which a list may stand for a tuple
        return TypeAdapter(kind).validate_json(json.dumps(data, default=odd))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        first = next((one for one in found if one["type"] == _UNKNOWN), found[0])
    where = ".".join(map(str, first["loc"]))
    if first["type"] == _UNKNOWN:
        raise UsageError(f"{path}: {_unknown(where, _keys(kind, first['loc'][:-1]))}")
    if first["type"] == "missing":
        raise UsageError(f"{path}: {where} is missing")
    why = _TOML.get(first["type"], first["msg"].removeprefix("Value error, "))
    raise UsageError(f"{path}: {where} is {first['input']!r}: {why[:1].lower()}{why[1:]}")


def _unknown(where: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(where.rpartition(".")[2], known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown key {where!r}; known: {', '.join(sorted(known))}{hint}"


def _keys(kind: Any, place: Sequence[int | str]) -> list[str]:
    """The keys that the table at `place` may have."""
    for step in place:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind)[str(step)]
        else:
            kind = typing.get_args(kind)[-1]
    return [field.name for field in dataclasses.fields(kind)]
