"""Changes are made, or 503 says that they were not: whatever PostgreSQL calls what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infraforge import faults
from infraforge.errors import Inconclusive
from infraforge.probes import queries
from infraforge.wait import seconds, wait_until
from infraforge.workloads import register
from infraforge.workloads.backend_client import ApiError, BackendClient, Project, Unknown

_IDLE_ENDS = seconds(15)  # PostgreSQL ends a transaction that was idle for 5 s
TIMES = 4


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


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "SOC2-PI1.5", "ISO27001-A.8.14", "NIST-CP-10")
def test_a_database_that_takes_no_changes_is_503_and_then_written_to_again(
    platform, developer, viewer, projects, nemesis, evidence
):
    """While PostgreSQL only reads, changes of each kind are 503, and reads answered as before.

    Once it takes changes again they are made: no session that only reads is kept.
    """
    one, two, three = projects
    developer.put_file(two.id, "before.txt", b"before")
    changes = {
        "made": lambda: developer.create_project("made meanwhile"),
        "changed": lambda: developer.update_project(one.id, name="changed meanwhile"),
        "deleted": lambda: developer.delete_project(three.id),
        "stored": lambda: developer.put_file(two.id, "meanwhile.txt", b"meanwhile"),
        "file deleted": lambda: developer.delete_file(two.id, "before.txt"),
    }
    nemesis.inject(faults.ReadOnly())
    told = {what: [status(change) for _ in range(TIMES)] for what, change in changes.items()}
    denied = status(lambda: viewer.create_project("a denial is written down, too"))
    read = [status(lambda: developer.read_project(one.id)), status(lambda: developer.files(two.id))]
    nemesis.heal()
    wait_until(
        lambda: developer.update_project(one.id, name="changed after"),
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="changes are made again",
        broken=True,
    )
    later = [status_of_a_change(developer, project.id) for project in projects * 6]
    evidence.attach(nemesis.history, told=str(told), denied=str(denied), read=str(read))
    assert all(set(statuses) == {503} for statuses in told.values()), told
    assert denied == 403
    assert read == [200, 200]
    assert later == [200] * len(later)


def status(ask: Callable[[], object]) -> int:
    """How a request is answered; 200 for each that succeeds."""
    try:
        ask()
    except ApiError as error:
        return error.status
    return 200


def status_of_a_change(user: BackendClient, project_id: str) -> int:
    """How a change of the project is answered."""
    return status(lambda: user.update_project(project_id, name="changed"))
