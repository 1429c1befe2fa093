"""Changes are made, or 503 says that they were not: whatever PostgreSQL calls what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infraforge import faults
from infraforge.errors import Inconclusive
from infraforge.probes import queries
from infraforge.wait import seconds, wait_until
from infraforge.workloads import register
from infraforge.workloads.backend_client import ApiError, BackendClient, Project, Unknown

_IDLE_ENDS = seconds(15)  # PostgreSQL ends a transaction that was idle for 5 s


@pytest.fixture
def projects(developer) -> Iterator[list[Project]]:
    """Three projects, so that their changes do not wait for each other."""
    made = [developer.create_project(f"changed side by side {n}") for n in range(3)]
    yield made
    for project in made:
        developer.delete_project(project.id)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5")
def test_a_backend_that_stood_still_in_its_transactions_answers_503_or_success(
    platform, developer, projects, database, nemesis, evidence
):
    """Transactions that PostgreSQL ended meanwhile end as 503 or are done again, and leave no mark.

    All later changes are made: no connection that failed is used again.
    """
    with ThreadPoolExecutor(len(projects)) as pool:
        with queries.held(database, "projects") as waiting:
            asked = [
                pool.submit(status_of_a_change, register.twin(developer), project.id)
                for project in projects
            ]
            wait_until(
                lambda: waiting() >= len(projects),
                within=seconds(4),
                every=0.05,
                what="all changes wait for the table",
            )
            nemesis.inject(faults.Pause("backend"))
        wait_until(
            lambda: queries.idle_in_transaction(database) >= 1,
            within=seconds(4),
            every=0.05,
            what="PostgreSQL waits for a backend that stands still",
        )
        wait_until(
            lambda: queries.idle_in_transaction(database) == 0,
            within=_IDLE_ENDS,
            what="PostgreSQL has ended the transactions",
        )
        if any(change.done() for change in asked):
            raise Inconclusive("a change was answered while the backend stood still")
        nemesis.heal()
        statuses = [change.result() for change in asked]
    evidence.attach(statuses=statuses)
    assert set(statuses) <= {200, 503}
    wait_until(
        developer.me,
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the backend answers again",
        broken=True,
    )
    later = [status_of_a_change(developer, project.id) for project in projects * 6]
    assert later == [200] * len(later)


def status_of_a_change(user: BackendClient, project_id: str) -> int:
    """How a change of the project is answered."""
    try:
        user.update_project(project_id, name="changed")
    except ApiError as error:
        return error.status
    return 200
