"""What clients told an impostor that they took for the real server."""

from __future__ import annotations

import json
from dataclasses import dataclass

from infraforge.components.site import Site
from infraforge.errors import ClusterError


@dataclass(frozen=True)
class Heard:
    """callers: how many connected; told: users who named themselves; why: errors of the others."""

    callers: int
    told: frozenset[str]
    why: frozenset[str]


def by(site: Site, namespace: str, pod: str) -> Heard:
    """What the impostor in that pod has heard so far. ClusterError where it cannot be read."""
    return read(site.output(namespace, pod))


def read(output: str) -> Heard:
    """Parse the impostor's output. ClusterError for a line that it did not print."""
    try:
        lines = [json.loads(line) for line in output.splitlines()]
        told = frozenset(str(line["user"]) for line in lines if line["heard"] != "nothing")
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"the impostor's output cannot be read: {output[-300:]!r}") from error
    return Heard(len(lines), told, frozenset(str(line.get("why", "")) for line in lines) - {""})
