"""What a component's pods have written to their standard output."""

from __future__ import annotations

from datetime import datetime

from infraforge.components import containers
from infraforge.components.site import Site


def lines(site: Site, component: str, since: datetime) -> tuple[str, ...]:
    """The lines of all its pods since then (with a time zone; a second more or less)."""
    found: list[str] = []
    for pod in containers.pods(site, component):
        said = site.output(pod.metadata.namespace, pod.metadata.name, component, since)
        found += said.split("\n")  # no other sign ends a line
    return tuple(line for line in found if line)
