"""Cache fills are fenced: a cache that was paused serves no old value when it resumes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from infraforge import faults
from infraforge.checkers import no_stale_read, under_fault
from infraforge.components.postgres import Connection
from infraforge.errors import Inconclusive
from infraforge.probes import cached, queries
from infraforge.verdict import check, control
from infraforge.wait import seconds, wait_until
from infraforge.workloads import reading, register
from infraforge.workloads.backend_client import ApiError, BackendClient, Unknown

_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backend'
"""
_WRITERS_WAIT = seconds(1.8)  # without an answer from the cache a writer acknowledges after 2 s


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2", "NIST-SI-7")
def test_a_paused_cache_does_not_serve_a_value_replaced_meanwhile(
    developer, project, cache, nemesis
):
    """A cache paused during a write does not serve the replaced value when it resumes."""
    # The backend drops the cached value of whatever it reads during the pause. That would hide a
    # faulty write, so the reads during the pause are of another project.
    other = developer.create_project("read while the cache stands still")
    assert reading.until_hit(developer, project.id) == project
    memory = cached.memory(cache)
    nemesis.inject(faults.Pause("redis-cache"))
    changed = developer.update_project(project.id, name="written while the cache stood still")
    other = developer.update_project(other.id, name="written, and read while it stands still")
    during = developer.read_project(other.id)[0]
    nemesis.heal()
    kept = cached.memory(cache) == memory
    control(kept, "the cache restarted, so it held no old value to serve")
    after = [developer.read_project(project.id)[0] for _ in range(20)]
    after.append(reading.until_hit(developer, project.id))
    developer.delete_project(other.id)
    assert during == other
    assert set(after) == {changed}


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2", "NIST-SI-7")
def test_no_read_is_stale_while_the_cache_pauses_and_resumes(
    developer, project, cache, nemesis, evidence
):
    """Concurrent readers see no replaced value while the cache is paused and after it resumes."""
    reading.until_hit(developer, project.id)
    changed = developer.update_project(project.id, name="before any fault")
    assert reading.until_hit(developer, project.id) == changed
    memory = cached.memory(cache)
    with register.Load(developer, [project.id], readers=4, writers=2) as load:
        load.until(reads=40, writes=6)
        nemesis.inject(faults.Pause("redis-cache"))
        load.until(reads=20, writes=3)  # with two writers, the third write begins in the pause
        nemesis.heal()
        load.until(reads=60, writes=6, hits=10)
    history = load.history + nemesis.history
    verdict = check(history, under_fault(no_stale_read))
    evidence.attach(history, verdict, ways=load.ways)
    kept = cached.memory(cache) == memory
    control(kept, "the cache restarted, so it held no old value to serve")
    assert verdict.holds, verdict.explain()


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "NIST-SI-7")
def test_the_cache_accepts_no_fill_while_any_write_is_in_progress(
    developer, project, database, cache, evidence
):
    """A write that ends during another write leaves the other's fence up, so no fill succeeds."""
    developer.put_file(project.id, "old.txt", b"old")
    wait_until(
        lambda: developer.files(project.id)[1] == "hit",
        within=seconds(20),
        what="the list of files is a cache hit",
        broken=True,
    )
    with ThreadPoolExecutor(1) as pool:
        with queries.held_project(database, project.id) as waiting:
            upload = pool.submit(register.twin(developer).put_file, project.id, "new.txt", b"new")
            wait_until(
                waiting,
                within=seconds(10),
                every=0.02,
                what="the upload waits for the project's row",
            )
            before = cached.holders(cache, project.id, ":files")
            developer.delete_file(project.id, "old.txt")
            after = cached.holders(cache, project.id, ":files")
            lists = [developer.files(project.id) for _ in range(3)]
        upload.result()
    ways = [way for _, way in lists]
    evidence.attach(before=before, after=after, ways=ways)
    assert before, "the change under way holds no fence"
    control(len(before) == 1, f"expected only the waiting upload's fence: {before}")
    assert [files for files, _ in lists] == [[]] * 3
    assert ways == ["miss"] * 3
    assert after == before
    assert [file.name for file in developer.files(project.id)[0]] == ["new.txt"]


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2", "NIST-SI-7")
def test_a_change_is_not_acknowledged_after_its_database_session_ends(
    platform, developer, project, database, nemesis, evidence
):
    """A write that the cache did not confirm is not acknowledged if its PostgreSQL session ends.

    The response is 503 and says that the outcome is unknown. Here the write was committed.
    """
    nemesis.inject(faults.Pause("redis-cache"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(answer_to_a_change, register.twin(developer), project.id)
        looked = [time.monotonic()]
        wait_until(
            lambda: looked.append(time.monotonic()) or version(database, project.id) > 1,
            within=seconds(10),
            every=0.02,
            what="the database has the change",
        )
        ended = database.execute(_END_SESSIONS).fetchall()
        struck = time.monotonic() - looked[-2]
        answer = asked.result()
    nemesis.heal()
    evidence.attach(answer=answer, ended=len(ended), struck=struck)
    control(bool(ended), "the backend had no database session to end")
    control(struck <= _WRITERS_WAIT, f"sessions ended {struck:.1f} s after the commit: too late")
    assert answer[0] == 503
    assert "outcome is unknown" in answer[1]
    after = wait_until(
        lambda: developer.read_project(project.id)[0],
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the project is readable again",
        broken=True,
    )
    assert after.name == "changed, and nobody knows"


def answer_to_a_change(user: BackendClient, project_id: str) -> tuple[int, str]:
    """Status and error text of the response to a change of the project."""
    try:
        user.update_project(project_id, name="changed, and nobody knows")
    except ApiError as error:
        return error.status, str(error)
    return 200, ""


def version(database: Connection, project_id: str) -> int:
    """The project's version in the database."""
    row = database.execute("SELECT version FROM projects WHERE id = %s", (project_id,)).fetchone()
    if row is None:
        raise Inconclusive(f"the database has no project {project_id}")
    return int(row[0])
