"""The standard output of a component's pods, and what must not be in it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from infraforge.components import containers
from infraforge.components.site import Site

_SHOWN = 5


def lines(site: Site, component: str, since: datetime) -> tuple[str, ...]:
    """The lines of all its pods since then (aware; accurate to a second)."""
    every: list[str] = []
    for pod in containers.pods(site, component):
        said = site.output(pod.metadata.namespace, pod.metadata.name, component, since)
        every += said.split("\n")  # unlike splitlines: nothing else ends a line
    return tuple(line for line in every if line)


def offences(
    site: Site, since: datetime, asked: Collection[str], mark: str
) -> Mapping[str, Sequence[str]]:
    """What is wrong in the logs of backend and ingress since then: kind → its first few lines.

    Every line of the backend must be JSON, none of the requests `asked` (their ids) may be logged
    as an error, and `mark`, which was sent in bodies, may be nowhere. {} where all is well.
    """
    offending: dict[str, list[str]] = {}
    for component in ("backend", "ingress"):
        for line in lines(site, component, since):
            if mark in line:
                offending.setdefault("bodies", []).append(line)
            try:
                told = json.loads(line)
            except ValueError:
                if component == "backend":  # NGINX's error log is not JSON
                    offending.setdefault("not JSON", []).append(line)
                continue
            if told.get("request_id") in asked and (
                told.get("level") in ("error", "critical") or "exception" in told
            ):
                offending.setdefault("errors", []).append(line)
    return {kind: offences[:_SHOWN] for kind, offences in offending.items()}
