"""The standard output of a component's pods."""

from __future__ import annotations

from datetime import datetime

from infraforge.components import containers
from infraforge.components.site import Site


def lines(site: Site, component: str, since: datetime) -> tuple[str, ...]:
    """The lines of all its pods since then (aware; accurate to a second)."""
    every: list[str] = []
    for pod in containers.pods(site, component):
        said = site.output(pod.metadata.namespace, pod.metadata.name, component, since)
        every += said.split("\n")  # unlike splitlines: nothing else ends a line
    return tuple(line for line in every if line)
