"""Which of a component's pods a fault is about, where it has several."""

from __future__ import annotations

from infraforge import components
from infraforge.components import containers
from infraforge.components.containers import Container
from infraforge.components.site import Site


def find(site: Site, component: str, container: str = "") -> Container:
    """The running container of the pod that does the component's work, else of its first one.

    Of several PostgreSQL that is the primary: what happens to a standby, nobody may notice.
    Raises ClusterError where none runs.
    """
    leading = components.load(component).leading_pod(site)
    return containers.find(site, component, container, in_pod=leading)
