"""Without PostgreSQL, cached values are still served, and no change takes partial effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from infraforge import faults
from infraforge.components import members
from infraforge.components.postgres import Postgres
from infraforge.probes import objects
from infraforge.wait import Deadline, seconds, wait_until
from infraforge.workloads import reading, register
from infraforge.workloads.backend_client import ApiError, BackendClient, FileInfo, Project, Unknown

LONG = seconds(10)  # several times as long as a process may trust its last check of PostgreSQL
HONEST = "503"
PACE = seconds(0.05)  # between reads, to stay below the ingress' rate limit
_TRAIL = "SELECT action, target FROM audit WHERE target LIKE %s ORDER BY id"

CHANGES: dict[str, Callable[[BackendClient, str], object]] = {
    "create a project": lambda user, _: user.create_project("made without a database"),
    "change the project": lambda user, project: user.update_project(project, name="changed"),
    "delete the project": lambda user, project: user.delete_project(project),
    "upload another file": lambda user, project: user.put_file(project, "new.txt", b"new"),
    "replace the file": lambda user, project: user.put_file(project, "kept.txt", b"replaced"),
    "delete the file": lambda user, project: user.delete_file(project, "kept.txt"),
}


@dataclass(frozen=True)
class Kept:
    """Everything stored about a project: its row, files, content, objects and audit trail."""

    project: Project
    files: list[FileInfo]
    content: bytes
    objects: list[str]
    trail: list[tuple[str, str]]
    named_alike: int


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-SI-7")
def test_no_change_takes_partial_effect_without_postgresql(
    platform, developer, project, store, nemesis, evidence
):
    """While PostgreSQL is down every change gets 503 and leaves no trace."""
    developer.put_file(project.id, "kept.txt", b"kept")
    before = kept(platform, developer, project, store)
    nemesis.inject(faults.ScaledToNothing("postgres"))
    with ThreadPoolExecutor(len(CHANGES)) as pool:
        asked = {
            what: pool.submit(told, change, register.twin(developer), project.id)
            for what, change in CHANGES.items()
        }
        answers = {what: answer.result() for what, answer in asked.items()}
    evidence.attach(answers)
    nemesis.heal()
    assert answers == dict.fromkeys(CHANGES, (503, "application/problem+json"))
    wait_until(
        developer.projects,
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the list of projects is readable again",
        broken=True,
    )
    after = kept(platform, developer, project, store)
    assert after == before
    assert developer.update_project(project.id, name="after").version == project.version + 1


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14")
def test_cached_reads_continue_without_postgresql(platform, developer, project, nemesis, evidence):
    """While PostgreSQL is down cached projects are served from the cache; other reads get 503.

    Where it has several members, one that nobody sees may lead still and be written through. So a
    cached project is served only for as long as a check of PostgreSQL is trusted, then is 503, too.
    """
    cached = reading.until_hit(developer, project.id)
    nemesis.inject(faults.ScaledToNothing("postgres"))
    ways, deadline = Counter(), Deadline(LONG)
    while not deadline.passed:
        ways[way_of(register.twin(developer), cached)] += 1
        deadline.pause(PACE)
    uncached = told(lambda user, _: user.projects(), register.twin(developer), "")
    nemesis.heal()
    evidence.attach(ways=ways, uncached=uncached)
    alone = len(members.of(platform.profile)) == 1
    assert set(ways) <= ({"hit"} if alone else {"hit", HONEST})
    assert uncached == (503, "application/problem+json")
    wait_until(
        lambda: developer.update_project(cached.id, name="after"),
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the project can be changed again",
        broken=True,
    )
    assert developer.read_project(cached.id)[0].name == "after"


def way_of(user: BackendClient, cached: Project) -> str:
    """How a read of a cached project was served: hit, miss, bypass, or what went wrong."""
    try:
        project, way = user.read_project(cached.id)
    except ApiError as error:
        return HONEST if error.status == int(HONEST) else str(error)
    return way if project == cached else f"{way}, of {project}"


def told(
    change: Callable[[BackendClient, str], object], user: BackendClient, project: str
) -> tuple[int, str]:
    """Status and content type of the response to a change."""
    kinds: list[str] = []
    user.session.hooks["response"].append(
        lambda answer, **_: kinds.append(answer.headers.get("Content-Type", ""))
    )
    try:
        change(user, project)
    except ApiError as error:
        return error.status, kinds[-1] if kinds else ""
    return 200, kinds[-1]


def kept(platform, user, project, store) -> Kept:
    with Postgres().connect(platform.site) as database:
        trail = database.execute(_TRAIL, (f"{project.id}%",)).fetchall()
    return Kept(
        project=user.read_project(project.id)[0],
        files=user.files(project.id)[0],
        content=user.get_file(project.id, "kept.txt"),
        objects=objects.under(store, f"projects/{project.id}/"),
        trail=[(str(action), str(target)) for action, target in trail],
        named_alike=sum(item.name == "made without a database" for item in user.projects()),
    )
