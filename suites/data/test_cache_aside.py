"""Cache-aside: Redis, else PostgreSQL and then into Redis; and what ends a cached value."""

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

_READERS_WAIT = seconds(1.8)  # the backend's own patience with another's fill is 2 s


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4")
def test_first_read_comes_from_postgresql_and_is_kept_in_redis(
    developer, project, database, cache, evidence
):
    """What no cache holds is read from PostgreSQL, by one query, and lies in Redis from then on."""
    control(cached.project(cache, project.id) is None, "a project that nobody read is cached")
    with queries.counted(database) as run:
        read, way = reading.through_cache(developer, project.id)
    evidence.attach(statements=run.calls)
    assert (read, way) == (project, "miss")
    assert sum(run.touching("projects").values()) == 1, run.calls
    kept = cached.project(cache, project.id)
    assert kept is not None, "the value that was read is not in Redis"
    assert kept.body == dataclasses.asdict(project)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4")
def test_second_read_is_answered_by_redis_without_a_query(developer, project, database, evidence):
    """The read after a first one is a hit, and PostgreSQL does not hear of it."""
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
    """Many who read at once what no cache holds cause one query, and all get its answer."""
    crowd = [register.twin(developer) for _ in range(8)]
    for reader in crowd:
        reader.me()  # connected: nothing but the read itself is still to be done
    control(cached.project(cache, project.id) is None, "a project that nobody read is cached")
    with queries.counted(database) as run, ThreadPoolExecutor(len(crowd)) as pool:
        with queries.held(database, "projects") as waiting:
            reads = [pool.submit(reader.read_project, project.id) for reader in crowd]
            held = time.monotonic()
            wait_until(waiting, within=seconds(10), every=0.02, what="a query waits for the table")
            # long enough for all to be there, and well below the time that readers wait
            at_once = wait_until_stable(waiting, within=seconds(5), for_=0.5, every=0.05)
            early = [read for read in reads if read.done()]
            held = time.monotonic() - held
        answers = [read.result() for read in reads]
    evidence.attach(run.calls, ways=[way for _, way in answers], waiting=at_once, held=held)
    control(not early, f"{len(early)} reads were over before their query could run")
    patient = held <= _READERS_WAIT
    control(patient, f"the query was held for {held:.1f} s: readers may have given up on it")
    assert [read for read, _ in answers] == [project] * len(crowd)
    assert sum(run.touching("projects").values()) == 1, run.calls
    assert at_once == 1


@pytest.mark.exclusive
@pytest.mark.control("SOC2-PI1.4", "SOC2-A1.2")
def test_concurrent_reads_of_what_is_not_there_are_one_query(developer, database, evidence):
    """Many who read at once what does not exist cause one query, as if it were there."""
    nowhere = str(uuid.uuid4())
    crowd = [register.twin(developer) for _ in range(8)]
    for reader in crowd:
        reader.me()  # connected: nothing but the read itself is still to be done
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
    control(not early, f"{len(early)} reads were over before their query could run")
    in_time = held <= _READERS_WAIT
    control(in_time, f"the query was held for {held:.1f} s: readers may have given up on it")
    assert answers == [404] * len(crowd)
    assert sum(run.touching("projects").values()) == 1, run.calls
    assert at_once == 1


@pytest.mark.control("SOC2-PI1.4")
def test_update_takes_the_cached_value_away(developer, project, cache):
    """Once an update is acknowledged nothing old is cached, and the next read has the new value."""
    assert reading.until_hit(developer, project.id) == project
    changed = developer.update_project(project.id, name="changed", description="and read back")
    assert cached.project(cache, project.id) is None
    assert developer.read_project(project.id)[0] == changed
    assert reading.until_hit(developer, project.id) == changed


@pytest.mark.control("SOC2-PI1.4", "ISO27001-A.8.10")
def test_deletion_takes_the_cached_value_away(developer, project, cache):
    """Once a deletion is acknowledged the project is neither in the cache nor to be read."""
    reading.until_hit(developer, project.id)  # before: it can be read, and from the cache
    developer.delete_project(project.id)
    assert cached.project(cache, project.id) is None
    with pytest.raises(Refused) as refused:
        developer.read_project(project.id)
    assert refused.value.status == 404


@pytest.mark.control("SOC2-PI1.4")
def test_list_of_files_follows_every_change_of_a_file(developer, project):
    """A list of files that was cached before an upload or a deletion is not read after it."""
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
            what="the list of files is a hit",
            broken=True,
        )
        seen.append(names)
    assert seen == [set(), {"one.txt"}, {"one.txt", "two.txt"}, {"two.txt"}]


@pytest.mark.waits
@pytest.mark.control("SOC2-PI1.4")
def test_cached_value_expires_after_the_declared_time(platform, developer, project, cache):
    """A cached value lives for the declared time, which reads do not prolong; then it is a miss."""
    ttl = declared.cache_ttl(platform.site)
    reading.until_hit(developer, project.id)
    young = cached.project(cache, project.id)
    assert young is not None, "the value that was just a hit is not in Redis"
    assert ttl - 30 <= young.ttl <= ttl  # it was filled while `until_hit` ran
    assert reading.through_cache(developer, project.id)[1] == "hit"
    older = cached.project(cache, project.id)
    assert older is not None, "the value that was just a hit is not in Redis"
    assert older.ttl <= young.ttl, "a read has prolonged the value's life"
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
def test_no_project_is_answered_with_what_is_cached_of_another(developer, request, reader):
    """Read one after the other and from the cache, each project and its files are its own."""
    client = request.getfixturevalue(reader)
    projects = [developer.create_project(f"apart {reader} {n}") for n in range(2)]
    ways = set()
    try:
        for project in projects:
            developer.put_file(project.id, f"{project.id}.txt", project.id.encode())
        for _ in range(3):  # the first fills the cache, the others are answered from it
            for project in projects:
                read, way = client.read_project(project.id)
                assert read == project
                names = [file.name for file in client.files(project.id)[0]]
                assert names == [f"{project.id}.txt"]
                ways.add(way)
    finally:
        for project in projects:
            developer.delete_project(project.id)
    assert "hit" in ways, f"the cache served nobody: {ways}"


def status_of(reader: BackendClient, project_id: str) -> int:
    """How a read of the project is answered."""
    try:
        reader.read_project(project_id)
    except Refused as refused:
        return refused.status
    return 200
