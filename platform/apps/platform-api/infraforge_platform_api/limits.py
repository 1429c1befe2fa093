"""The actions that `limits.toml` allows on each component. Pure except for `load`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Limits:
    """most: component → the most replicas it may have; restart: components that may restart."""

    most: Mapping[str, int]
    restart: frozenset[str]

    @classmethod
    def load(cls, path: str) -> Limits:
        """Raises ValueError as `parse` does, OSError where the file cannot be read."""
        return cls.parse(tomllib.loads(Path(path).read_text()))

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Limits:
        """Raises ValueError unless the data is as the top of limits.toml describes it."""
        unknown = sorted(set(data) - {"restart", "scale"})
        if unknown:
            raise ValueError(f"limits: unknown key {unknown[0]!r}")
        restart, most = data.get("restart", []), data.get("scale", {})
        if not isinstance(restart, list) or not all(isinstance(name, str) for name in restart):
            raise ValueError("limits: restart must be a list of names")
        for name, number in most.items():
            if type(number) is not int or number < 1:
                raise ValueError(f"limits: scale.{name} must be a number from 1")
        return cls(dict(most), frozenset(restart))
