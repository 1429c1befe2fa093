"""What a component's pods have written to their standard output."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError


def lines(site: Site, component: str, since: datetime) -> tuple[str, ...]:
    """The lines of all its pods since then (with a time zone; a second more or less).

    Of its own pods: probes bear its label, too, to see what it would see.
    """
    found: list[str] = []
    age = int((datetime.now(UTC) - since).total_seconds()) + 2
    for pod in containers.pods(site, component):
        if component not in {container.name for container in pod.spec.containers}:
            continue
        try:
            answer: Any = site.core.read_namespaced_pod_log(
                pod.metadata.name,
                pod.metadata.namespace,
                container=component,
                since_seconds=max(age, 1),
                _preload_content=False,
            )
        except client.ApiException as error:
            raise ClusterError(
                f"the output of {pod.metadata.name} cannot be read: {error.reason}"
            ) from error
        found += answer.data.decode("utf-8", "replace").split("\n")  # no other sign ends a line
    return tuple(line for line in found if line)
