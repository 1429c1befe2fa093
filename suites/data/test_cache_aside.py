"""Cache-aside: a read tries Redis, then PostgreSQL, and fills Redis; writes invalidate it."""

from __future__ import annotations

import dataclasses
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from infraforge.probes import cached, declared, queries
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until, wait_until_stable
from infraforge.workloads import reading, register
from infraforge.workloads.backend_client import BackendClient, Refused

_READERS_WAIT = seconds(1.8)  # the backend waits 2 s for another reader's fill


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4")
def test_first_read_comes_from_postgresql_and_is_kept_in_redis(
    developer, project, database, cache, evidence
):
    """A read of an uncached project takes one PostgreSQL query and fills Redis."""
    control(cached.project(cache, project.id) is None, "the project is cached before any read")
    with queries.counted(database) as run:
        read, way = reading.through_cache(developer, project.id)
    evidence.attach(statements=run.calls)
    assert (read, way) == (project, "miss")
    assert sum(run.touching("projects").values()) == 1, run.calls
    kept = cached.project(cache, project.id)
    assert kept is not None, "Redis does not hold the value that was read"
    assert kept.body == dataclasses.asdict(project)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4")
def test_second_read_is_answered_by_redis_without_a_query(developer, project, database, evidence):
    """A second read is a cache hit and sends no query to PostgreSQL."""
    with queries.counted(database) as first:
        reading.through_cache(developer, project.id)
    control(first.touching("projects"), f"the first read's query was not counted: {first.calls}")
    with queries.counted(database) as second:
        read, way = reading.through_cache(developer, project.id)
    evidence.attach(first=first.calls, second=second.calls)
    assert (read, way) == (project, "hit")
    assert second.touching("projects") == {}, second.calls


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2")
def test_concurrent_misses_are_one_query(developer, project, database, cache, evidence):
    """Concurrent readers of an uncached project cause one query, and all get its result."""
    crowd = [register.twin(developer) for _ in range(8)]
    for reader in crowd:
        reader.me()  # connects, so that only the read itself remains
    control(cached.project(cache, project.id) is None, "the project is cached before any read")
    with queries.counted(database) as run, ThreadPoolExecutor(len(crowd)) as pool:
        with queries.held(database, "projects") as waiting:
            reads = [pool.submit(reader.read_project, project.id) for reader in crowd]
            held = time.monotonic()
            wait_until(waiting, within=seconds(10), every=0.02, what="a query waits for the table")
            # long enough for all readers to arrive, and well below the time that they wait
            at_once = wait_until_stable(waiting, within=seconds(5), for_=0.5, every=0.05)
            early = [read for read in reads if read.done()]
            held = time.monotonic() - held
        answers = [read.result() for read in reads]
    evidence.attach(run.calls, ways=[way for _, way in answers], waiting=at_once, held=held)
    control(not early, f"{len(early)} reads ended before their query could run")
    patient = held <= _READERS_WAIT
    control(patient, f"the query was held for {held:.1f} s: readers may have given up waiting")
    assert [read for read, _ in answers] == [project] * len(crowd)
    assert sum(run.touching("projects").values()) == 1, run.calls
    assert at_once == 1


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2")
def test_concurrent_reads_of_a_missing_project_are_one_query(developer, database, evidence):
    """Concurrent readers of a project that does not exist cause one query."""
    nowhere = str(uuid.uuid4())
    crowd = [register.twin(developer) for _ in range(8)]
    for reader in crowd:
        reader.me()  # connects, so that only the read itself remains
    with queries.counted(database) as run, ThreadPoolExecutor(len(crowd)) as pool:
        with queries.held(database, "projects") as waiting:
            reads = [pool.submit(status_of, reader, nowhere) for reader in crowd]
            held = time.monotonic()
            wait_until(waiting, within=seconds(10), every=0.02, what="a query waits for the table")
            at_once = wait_until_stable(waiting, within=seconds(5), for_=0.5, every=0.05)
            early = [read for read in reads if read.done()]
            held = time.monotonic() - held
        answers = [read.result() for read in reads]
    evidence.attach(run.calls, answers=answers, waiting=at_once, held=held)
    control(not early, f"{len(early)} reads ended before their query could run")
    in_time = held <= _READERS_WAIT
    control(in_time, f"the query was held for {held:.1f} s: readers may have given up waiting")
    assert answers == [404] * len(crowd)
    assert sum(run.touching("projects").values()) == 1, run.calls
    assert at_once == 1


@pytest.mark.control("SOC2-PI1.4")
def test_update_invalidates_the_cached_value(developer, project, cache):
    """After an acknowledged update the cache holds no old value, and reads return the new one."""
    assert reading.until_hit(developer, project.id) == project
    changed = developer.update_project(project.id, name="changed", description="and read back")
    assert cached.project(cache, project.id) is None
    assert developer.read_project(project.id)[0] == changed
    assert reading.until_hit(developer, project.id) == changed


@pytest.mark.control("SOC2-PI1.4", "ISO27001-A.8.10")
def test_deletion_invalidates_the_cached_value(developer, project, cache):
    """After an acknowledged deletion the project is neither cached nor readable."""
    reading.until_hit(developer, project.id)  # control: the cache served it before
    developer.delete_project(project.id)
    assert cached.project(cache, project.id) is None
    with pytest.raises(Refused) as refused:
        developer.read_project(project.id)
    assert refused.value.status == 404


@pytest.mark.control("SOC2-PI1.4")
def test_file_list_reflects_every_change(developer, project):
    """A file list cached before an upload or a deletion is not served after it."""
    seen = []
    for change in (
        lambda: None,
        lambda: developer.put_file(project.id, "one.txt", b"1"),
        lambda: developer.put_file(project.id, "two.txt", b"2"),
        lambda: developer.delete_file(project.id, "one.txt"),
    ):
        change()
        names = {file.name for file in developer.files(project.id)[0]}
        wait_until(
            lambda: developer.files(project.id)[1] == "hit",
            within=seconds(20),
            what="the list of files is a cache hit",
            broken=True,
        )
        seen.append(names)
    assert seen == [set(), {"one.txt"}, {"one.txt", "two.txt"}, {"two.txt"}]


@pytest.mark.waits
@pytest.mark.control("SOC2-PI1.4")
def test_cached_value_expires_after_the_declared_time(platform, developer, project, cache):
    """A cached value expires after the declared time, which reads do not extend."""
    ttl = declared.cache_ttl(platform.site)
    reading.until_hit(developer, project.id)
    young = cached.project(cache, project.id)
    assert young is not None, "Redis does not hold the value of the hit just now"
    assert ttl - 30 <= young.ttl <= ttl  # it was filled while `until_hit` ran
    assert reading.through_cache(developer, project.id)[1] == "hit"
    older = cached.project(cache, project.id)
    assert older is not None, "Redis does not hold the value of the hit just now"
    assert older.ttl <= young.ttl, "a read extended the value's time to live"
    wait_until(
        lambda: cached.project(cache, project.id) is None,
        within=older.ttl + seconds(5),
        every=1.0,
        what="the cached value has expired",
        broken=True,
    )
    assert reading.through_cache(developer, project.id) == (project, "miss")


@pytest.mark.control("SOC2-CC6.1", "SOC2-PI1.4")
@pytest.mark.parametrize("reader", ["admin", "developer", "viewer"])
def test_no_read_returns_another_projects_cached_value(developer, request, reader):
    """Served from the cache, every project comes with its own content and its own files."""
    client = request.getfixturevalue(reader)
    projects = [developer.create_project(f"apart {reader} {n}") for n in range(2)]
    ways = set()
    try:
        for project in projects:
            developer.put_file(project.id, f"{project.id}.txt", project.id.encode())
        for _ in range(3):  # the first round fills the cache, which serves the others
            for project in projects:
                read, way = client.read_project(project.id)
                assert read == project
                names = [file.name for file in client.files(project.id)[0]]
                assert names == [f"{project.id}.txt"]
                ways.add(way)
    finally:
        for project in projects:
            developer.delete_project(project.id)
    assert "hit" in ways, f"the cache served no read: {ways}"


def status_of(reader: BackendClient, project_id: str) -> int:
    """The status of a read of the project."""
    try:
        reader.read_project(project_id)
    except Refused as refused:
        return refused.status
    return 200
