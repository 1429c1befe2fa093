"""Promotions of real servers with the platform's own scripts, configuration, users and TLS.

They run where redis-server is on this machine, and a network of one's own may be made; one set of
them for all tests, each of which begins when both groups are whole, whoever is master by then.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infraforge.cluster import rotation
from infraforge.components import redis_members
from infraforge.components.redis_members import GROUPS
from infraforge.selftests import local_redis
from infraforge.selftests.local_redis import LAB, LocalRedis
from infraforge.wait import seconds, wait_until

pytestmark = pytest.mark.skipif(bool(local_redis.LACKS), reason=local_redis.LACKS)
SENTINELS = [f"redis-sentinel-{number}" for number in range(3)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    made = LocalRedis(tmp_path_factory.mktemp("redis"))
    try:
        made.start_all()
        yield made
    finally:
        made.stop()


@pytest.fixture
def lab(running: LocalRedis) -> Iterator[LocalRedis]:
    for group in GROUPS:
        running.wait_whole(group)
    yield running
    # what the platform's own users need is in their rules: nobody was refused anything
    for pod in running.pods:
        if running.runs(pod):
            assert running.ask(pod, LAB, "acl", "log") == ""


def promoted(lab: LocalRedis, group: str, old: str) -> str:
    """The master that all sentinels name once it is another one."""

    def another() -> str:
        named = {view.master for view in lab.views(group)}
        return named.pop() if len(named) == 1 and old not in named else ""

    return wait_until(another, seconds(40), every=0.2, what=f"{group} has another master")


def epoch(lab: LocalRedis, group: str) -> int:
    return max(view.epoch for view in lab.views(group))


@pytest.mark.parametrize("group", GROUPS)
def test_a_killed_master_is_replaced_and_comes_back_as_a_replica(
    lab: LocalRedis, group: str
) -> None:
    old, before = lab.wait_whole(group), epoch(lab, group)
    assert lab.ask(old, LAB, "set", "kept", "1") == "OK"
    assert lab.ask(old, LAB, "wait", "2", "3000") == "2"
    lab.kill(old)
    new = promoted(lab, group, old)
    assert epoch(lab, group) > before
    said = len(lab.log(old))
    lab.start(old)
    assert lab.wait_whole(group) == new
    assert f"{new}." in lab.log(old)[said:].partition("is master: starting as its replica")[0]
    for pod in (old, new):
        assert lab.ask(pod, LAB, "get", "kept") == "1"


def test_a_cache_that_is_back_at_once_is_master_again_and_empty_everywhere(
    lab: LocalRedis,
) -> None:
    """Nothing that was replaced meanwhile comes back from a replica."""
    master, before = lab.wait_whole("cache"), epoch(lab, "cache")
    assert lab.ask(master, LAB, "set", "gone", "1") == "OK"
    lab.kill(master)
    lab.start(master)
    assert lab.wait_whole("cache") == master
    assert epoch(lab, "cache") == before
    for number in range(3):
        assert lab.ask(f"redis-cache-{number}", "observer", "dbsize") == "0"


def test_sessions_survive_their_masters_restart(lab: LocalRedis) -> None:
    master = lab.wait_whole("sessions")
    assert lab.ask(master, LAB, "set", "session", "1") == "OK"
    lab.kill(master)
    lab.start(master)
    now = lab.wait_whole("sessions")
    assert lab.ask(now, LAB, "get", "session") == "1"


def test_a_name_that_leads_nowhere_keeps_nobody_from_being_promoted(lab: LocalRedis) -> None:
    """And sentinels that start meanwhile go on naming the one that was promoted."""
    old = lab.wait_whole("sessions")
    lab.kill(old)
    lab.forget_name(old)
    new, after = promoted(lab, "sessions", old), epoch(lab, "sessions")
    for sentinel in SENTINELS:
        lab.kill(sentinel)
        lab.start(sentinel)
    views = wait_until(
        lambda: (found := lab.views("sessions"))[2:] and found, seconds(20), what="all answer"
    )
    assert {(one.master, one.epoch, one.sentinels, one.replicas) for one in views} == {
        (new, after, 3, 2)
    }
    lab.know_names()
    lab.start(old)
    assert lab.wait_whole("sessions") == new


def test_with_one_sentinel_left_nobody_becomes_master(lab: LocalRedis) -> None:
    master = lab.wait_whole("cache")
    for sentinel in SENTINELS[1:]:
        lab.kill(sentinel)
    lab.kill(master)
    lab.start(master)
    told = "1 sentinels answer, and 2 must"
    wait_until(lambda: lab.log(master).rstrip().endswith(told), seconds(20), what=told)
    assert lab.masters("redis-cache") == []
    for sentinel in SENTINELS[1:]:
        lab.start(sentinel)
    assert lab.wait_whole("cache")


def test_a_master_that_was_frozen_takes_no_write_when_it_wakes(lab: LocalRedis) -> None:
    old = lab.wait_whole("sessions")
    lab.freeze(old)
    try:
        new = promoted(lab, "sessions", old)
    finally:
        lab.thaw(old)
    refused = lab.ask(old, LAB, "set", "late", "1")
    assert refused.startswith(("NOREPLICAS", "READONLY", "MASTERDOWN")), refused
    assert lab.wait_whole("sessions") == new
    assert lab.ask(new, LAB, "exists", "late") == "0"


def test_a_replica_without_its_master_is_not_ready_and_serves_nothing(lab: LocalRedis) -> None:
    master = lab.wait_whole("sessions")
    replica = next(f"redis-sessions-{n}" for n in range(3) if f"redis-sessions-{n}" != master)
    assert lab.ask(replica, "probe", "ping") == "PONG"
    lab.kill(master)
    said = wait_until(
        lambda: (answer := lab.ask(replica, "probe", "ping")) != "PONG" and answer,
        seconds(3),
        every=0.05,
        what="a PING fails",
    )
    assert said.startswith("MASTERDOWN")
    lab.start(master)


def test_two_members_are_promoted_and_take_writes_when_the_other_is_back(lab: LocalRedis) -> None:
    """What a group of two does: one alone might be the one that was cut off."""
    old = lab.wait_whole("sessions")
    third = next(f"redis-sessions-{n}" for n in range(3) if f"redis-sessions-{n}" != old)
    lab.kill(third)
    lab.kill(old)
    new = promoted(lab, "sessions", old)
    assert lab.ask(new, LAB, "set", "alone", "1").startswith("NOREPLICAS")
    lab.start(old)

    def taken() -> bool:
        return lab.ask(new, LAB, "set", "alone", "1") == "OK"

    wait_until(taken, seconds(20), every=0.2, what="the new master takes writes")
    lab.start(third)


def test_the_operator_has_another_promoted_and_nothing_is_lost(lab: LocalRedis) -> None:
    old = lab.wait_whole("cache")
    assert lab.ask(old, LAB, "set", "planned", "1") == "OK"
    assert lab.ask(old, LAB, "wait", "2", "3000") == "2"
    assert lab.ask(SENTINELS[1], "operator", "sentinel", "failover", "cache") == "OK"
    assert lab.wait_whole("cache") == promoted(lab, "cache", old)
    assert lab.ask(lab.wait_whole("cache"), "observer", "get", "planned") == "1"


CLIENT = """
import sys
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel
ca, asks, place = sys.argv[1], sys.argv[2], sys.argv[3:]
tls = dict(ssl=True, ssl_ca_certs=ca, ssl_check_hostname=True, socket_timeout=2,
           socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
found = Sentinel([tuple(one.split(":")) for one in place],
                 sentinel_kwargs=dict(tls, username="client", password=asks), **tls)
master = found.master_for("cache", username="backend", password="backend-of-redis-cache")
master.ping()
print(*found.discover_master("cache"), master.info("server")["run_id"])
"""


def test_redis_py_finds_the_master_by_a_name_that_it_verifies(lab: LocalRedis) -> None:
    """With the users and rights that the backend has, and the host's name checked."""
    places = redis_members.places(SENTINELS)
    password = lab.passwords[redis_members.SENTINEL]["client"]
    master = lab.wait_whole("cache")
    first = lab.python(CLIENT, str(lab.ca_file), password, *places)
    name = redis_members.full_name(*GROUPS["cache"], master)
    assert first.startswith(f"{name} 6379 ")
    lab.kill(master)
    new = promoted(lab, "cache", master)
    second = lab.python(CLIENT, str(lab.ca_file), password, *places)
    assert second.startswith(f"{redis_members.full_name(*GROUPS['cache'], new)} 6379 ")
    assert first.split()[2] != second.split()[2]  # another server, and so another memory
    lab.start(master)


def test_the_ca_is_replaced_and_nobody_is_promoted(lab: LocalRedis) -> None:
    """In the phases of the platform's own rotation; a session that was there is there."""
    masters = {group: lab.wait_whole(group) for group in GROUPS}
    epochs = {group: epoch(lab, group) for group in GROUPS}
    assert lab.ask(masters["sessions"], LAB, "set", "session", "2") == "OK"
    before = lab.authority.certificate.subject
    for _phase in rotation.Rotation(lab.ca_folder).phases():
        lab.renew()
        # connections of before prove nothing of the new certificates
        for component, _ in GROUPS.values():
            for number in range(3):
                lab.ask(f"{component}-{number}", LAB, "client", "kill", "type", "replica")
        assert {group: lab.wait_whole(group) for group in GROUPS} == masters
    assert lab.authority.certificate.subject != before
    assert {group: epoch(lab, group) for group in GROUPS} == epochs
    assert lab.ask(masters["sessions"], "observer", "get", "session") == "2"
