"""One read of a project that went through the cache, or an error saying that it did not."""

from __future__ import annotations

from infraforge.errors import Inconclusive
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import BackendClient, Project

_READY_WITHIN = seconds(20)


def through_cache(client: BackendClient, project_id: str) -> tuple[Project, str]:
    """The project, and `hit` or `miss`.

    Raises Inconclusive for a bypass: the backend may bypass a cache that it cannot rely on, and
    the read then proves nothing about the cache.
    """
    project, way = client.read_project(project_id)
    if way == "bypass":
        raise Inconclusive(f"the backend bypassed the cache in a read of {project_id}")
    return project, way


def until_hit(client: BackendClient, project_id: str, within: float = _READY_WITHIN) -> Project:
    """Read until the cache answers; returns that answer. Raises Broken when it never does.

    A read during another's fill is a miss, so more than two may be needed.
    """

    seen: list[Project] = []

    def hit() -> bool:
        project, way = client.read_project(project_id)
        seen.append(project)
        return way == "hit"

    wait_until(hit, within, what=f"a read of {project_id} is a hit", broken=True)
    return seen[-1]
