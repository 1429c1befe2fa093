"""One read of a project in which the cache had a part, or the word that it had none."""

from __future__ import annotations

from infraforge.errors import Inconclusive
from infraforge.wait import seconds, wait_until
from infraforge.workloads.backend_client import BackendClient, Project

_READY_WITHIN = seconds(20)


def through_cache(client: BackendClient, project_id: str) -> tuple[Project, str]:
    """The project, and `hit` or `miss`.

    Raises Inconclusive for a bypass: the backend may leave the cache alone when it is not sure of
    it, and then says nothing about it.
    """
    project, way = client.read_project(project_id)
    if way == "bypass":
        raise Inconclusive(f"the backend left the cache alone in a read of {project_id}")
    return project, way


def until_hit(client: BackendClient, project_id: str, within: float = _READY_WITHIN) -> Project:
    """Read until the cache answers; what it answered. Raises Broken when it never does.

    A read beside another's fill is a miss, so that more than two may be needed.
    """

    seen: list[Project] = []

    def hit() -> bool:
        project, way = client.read_project(project_id)
        seen.append(project)
        return way == "hit"

    wait_until(hit, within, what=f"a read of {project_id} is a hit", broken=True)
    return seen[-1]
