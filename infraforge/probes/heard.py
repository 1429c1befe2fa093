"""What an impostor was told by those who took it for what it is not."""

from __future__ import annotations

import json
from dataclasses import dataclass

from infraforge.components.site import Site
from infraforge.errors import ClusterError


@dataclass(frozen=True)
class Heard:
    """callers: how many tried; told: who of them said their name; why: how the others ended."""

    callers: int
    told: frozenset[str]
    why: frozenset[str]


def by(site: Site, namespace: str, pod: str) -> Heard:
    """What the impostor in that pod has heard so far. ClusterError where it cannot be asked."""
    return read(site.output(namespace, pod))


def read(output: str) -> Heard:
    """What the impostor printed, understood. ClusterError for a line that is none of its own."""
    try:
        lines = [json.loads(line) for line in output.splitlines()]
        told = frozenset(str(line["user"]) for line in lines if line["heard"] != "nothing")
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"the impostor said nothing sensible: {output[-300:]!r}") from error
    return Heard(len(lines), told, frozenset(str(line.get("why", "")) for line in lines) - {""})
