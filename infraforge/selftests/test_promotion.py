"""What sentinels log, whom a process talks to, who stays signed out, and how long it took."""

from __future__ import annotations

import datetime
import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from infraforge import promotion
from infraforge.checkers import ended_sessions_stay_ended
from infraforge.components import containers
from infraforge.components.redis_members import View
from infraforge.components.redis_sentinel import RedisSentinel
from infraforge.errors import ClusterError, Inconclusive, Late
from infraforge.faults import groups
from infraforge.history import Call, Kind, Operation
from infraforge.probes import connections, promotions
from infraforge.promotion import Watched
from infraforge.selftests.histories import history
from infraforge.verdict import Outcome, check
from infraforge.wait import seconds, wait_until
from infraforge.workloads import direct
from infraforge.workloads.direct import DirectWrites
from infraforge.workloads.front_door import Unexpected
from infraforge.workloads.sign_outs import SignIns, SignOuts
from infraforge.workloads.visitor import NoAnswer

DATA = "redis-cache-internal.infraforge-data.svc.cluster.local"
LOG = f"""1:X 28 Nov 2026 04:00:00.000 * Running mode=sentinel, port=26379.
1:X 28 Nov 2026 04:00:05.100 # +sdown master cache redis-cache-0.{DATA} 6379
1:X 28 Nov 2026 04:00:05.900 # +odown master cache redis-cache-0.{DATA} 6379 #quorum 2/2
1:X 28 Nov 2026 04:00:06.800 * +failover-state-wait-promotion slave redis-cache-1.{DATA}:6379 \
redis-cache-1.{DATA} 6379 @ cache redis-cache-0.{DATA} 6379
1:X 28 Nov 2026 04:00:07.500 # +promoted-slave slave redis-cache-1.{DATA}:6379 \
redis-cache-1.{DATA} 6379 @ cache redis-cache-0.{DATA} 6379
1:X 28 Nov 2026 04:00:08.250 # +switch-master cache redis-cache-0.{DATA} 6379 \
redis-cache-1.{DATA} 6379
1:X 28 Nov 2026 04:00:09.000 # +tilt #tilt mode entered
no line of its own
"""


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"2026-11-28T{text}+00:00")


@pytest.fixture
def seen() -> promotions.Seen:
    return promotions.Seen(tuple(promotions.parse(LOG, "redis-sentinel-0")))


def test_what_sentinels_log_has_its_time(seen: promotions.Seen) -> None:
    assert len(seen.events) == 6
    named = seen.promotion("cache", "redis-cache-0")
    assert named is not None
    assert named.at == at("04:00:08.250")
    assert seen.promotion("cache", "redis-cache-1") is None
    assert seen.promotion("sessions", "redis-cache-0") is None
    first = seen.taking_over("cache")
    assert first is not None
    assert first.at == at("04:00:06.800")
    assert seen.taking_over("sessions") is None
    assert [one.name for one in seen.tilted] == ["+tilt"]
    assert "+sdown master cache" in str(seen)
    assert (seen.promotions("cache"), seen.promotions("sessions")) == (1, 0)


def test_logs_are_read_from_a_moment_on_and_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server tells whole seconds only: what is older is left out here."""
    pods = [SimpleNamespace(metadata=SimpleNamespace(name=f"redis-sentinel-{n}")) for n in (0, 1)]
    later = LOG.replace("04:00:08.250", "04:00:08.100")
    logs = {"redis-sentinel-0": LOG, "redis-sentinel-1": later}
    monkeypatch.setattr(containers, "pods", lambda *_: pods)
    site: Any = SimpleNamespace(output=lambda _ns, name, _container, _since: logs[name])
    found = promotions.since(site, at("04:00:08"))
    assert [one.sentinel[-1] for one in found.events] == ["1", "0", "0", "1"]
    assert "logged nothing" in str(promotions.since(site, at("05:00:00")))


def struck(ago: float) -> Call:
    now = time.monotonic_ns() - int(ago * 1e9)
    return Call(Operation("nemesis", Kind.INVOKE, "freeze", None, None, now), None, 0, None)


class Site:
    """A group whose master is what the sentinels say; log: of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.master, self.log = "redis-cache-0", ""
        monkeypatch.setattr(
            groups, "component", lambda _: SimpleNamespace(master=lambda _: "redis-cache-0")
        )
        monkeypatch.setattr(RedisSentinel, "views", lambda *_: self.views())
        pod = SimpleNamespace(metadata=SimpleNamespace(name="redis-sentinel-0"))
        monkeypatch.setattr(containers, "pods", lambda *_: [pod])

    def views(self) -> list[View]:
        if not self.master:
            return []
        return [View("redis-sentinel-0", self.master, 1, frozenset({"master"}), 3, 2)]

    def output(self, *_: object) -> str:
        return self.log

    def logs(self, *events: tuple[float, str]) -> None:
        """Seconds from now, and what."""
        now = datetime.datetime.now(datetime.UTC)
        for after, what in events:
            when = now + datetime.timedelta(seconds=after)
            stamp = f"{when:%d %b %Y %H:%M:%S}.{when.microsecond // 1000:03d}"
            self.log += f"1:X {stamp} # {what}\n"


SWITCH = f"+switch-master cache redis-cache-0.{DATA} 6379 redis-cache-1.{DATA} 6379"


def test_a_promotion_takes_from_the_fault_to_the_first_word_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here: Any = Site(monkeypatch)
    watched = Watched(here, "cache")
    here.logs((2.0, SWITCH), (3.0, SWITCH), (4.0, "+tilt #tilt mode entered"))
    assert watched.took(struck(1.0), watched.seen()) == pytest.approx(3.0, abs=0.2)
    here.master = "redis-cache-1"
    assert watched.promoted() == "redis-cache-1"


def test_without_a_word_of_a_promotion_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    here: Any = Site(monkeypatch)
    watched = Watched(here, "cache")
    with pytest.raises(Inconclusive, match="logged a promotion"):
        watched.took(struck(1.0), watched.seen())
    here.logs((1.0, "+tilt #tilt mode entered"), (32.0, SWITCH))
    with pytest.raises(Inconclusive, match="stood still"):
        watched.took(struck(1.0), watched.seen())


def test_nobody_promoted_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    here: Any = Site(monkeypatch)
    watched = Watched(here, "cache")
    monkeypatch.setattr(promotion, "within", lambda _: 0.05)
    with pytest.raises(Late, match="another master than redis-cache-0"):
        watched.promoted()
    here.master = "redis-cache-2"
    with pytest.raises(ClusterError, match="redis-cache-0 is master"):
        Watched(here, "cache")
    here.master = ""
    with pytest.raises(ClusterError, match="no sentinel answers"):
        Watched(here, "cache")


def test_the_inequality_is_in_the_budgets() -> None:
    """A master refuses before another may be named, in both groups."""
    for group in promotion.DOWN_AFTER:
        assert promotion.refused_within(group) <= promotion.DOWN_AFTER[group]


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0502F40A:A1B2 0902F40A:670A 01 00000000:00000000 00:00000000 00000000 10001 0 1 1
   1: 0502F40A:A1B3 0902F40A:670A 01 00000000:00000000 00:00000000 00000000 10001 0 1 1
   2: 0502F40A:A1B4 0803F40A:670A 06 00000000:00000000 00:00000000 00000000 10001 0 1 1
   3: 0502F40A:A1B5 0803F40A:18EB 01 00000000:00000000 00:00000000 00000000 10001 0 1 1
  sl  local_address                         remote_address                        st
   0: 0000000000000000FFFF00000502F40A:A1B6 0000000000000000FFFF00000704F40A:670A 01
"""


def test_connections_are_read_from_the_kernels_table() -> None:
    found = connections.parse(TABLE, 26378)
    assert found == {"10.244.2.9": 2, "10.244.4.7": 1}


def test_whom_a_process_is_connected_to_is_told_by_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [
        SimpleNamespace(metadata=SimpleNamespace(name=name), status=SimpleNamespace(pod_ip=address))
        for name, address in (("sentinel-0", "10.244.4.7"), ("sentinel-1", "10.244.2.9"))
    ]
    monkeypatch.setattr(containers, "pods", lambda *_: pods)
    monkeypatch.setattr(containers, "on_node", lambda *_: TABLE)
    container: Any = SimpleNamespace(node="node-0", place="infraforge-access/oauth2-proxy")
    site: Any = None
    assert connections.pods_at(site, "sentinel", container, 7, 26378) == [
        "sentinel-1",
        "sentinel-0",
    ]
    with pytest.raises(ClusterError, match="connected to no sentinel"):
        connections.pods_at(site, "sentinel", container, 7, 1)


ENDED = """
leaving invoke sign_out session-0
leaving ok     sign_out session-0
leaving invoke sign_out session-1
leaving info   sign_out session-1
"""


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        ("thief invoke ask session-0\nthief ok ask session-0 false", Outcome.HOLDS),
        ("thief invoke ask session-0\nthief ok ask session-0 true", Outcome.BROKEN),
        ("thief invoke ask session-0\nthief info ask session-0", Outcome.UNKNOWN),
        ("thief invoke ask session-1\nthief ok ask session-1 true", Outcome.UNKNOWN),
        ("", Outcome.UNKNOWN),
    ],
)
def test_an_ended_session_is_refused_for_good(asked: str, outcome: Outcome) -> None:
    assert check(history(ENDED + asked), ended_sessions_stay_ended).outcome is outcome


def test_a_question_of_before_the_end_says_nothing_of_it() -> None:
    early = "thief invoke ask session-0\nthief ok ask session-0 true\n"
    late = "thief invoke ask session-0\nthief ok ask session-0 false"
    assert check(history(early + ENDED + late), ended_sessions_stay_ended).holds
    none = "leaving invoke sign_out s\nleaving info sign_out s"
    assert check(history(none), ended_sessions_stay_ended).outcome is Outcome.UNKNOWN


class Visitor:
    """A session that works until it is signed out; `twin` shares it."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def twin(self) -> Visitor:
        return Visitor(self.state)

    def ask(self, method: str, path: str) -> Any:
        if self.state.pop("silent", False):
            raise NoAnswer("503")
        return SimpleNamespace(status_code=self.state["status"])


class Door:
    """Signs out all but the one that is told to fail."""

    def __init__(self, *fails: Exception) -> None:
        self.fails = list(fails)

    def sign_out(self, who: Visitor) -> None:
        if self.fails:
            raise self.fails.pop(0)
        who.state["status"] = 401

    def sign_in(self, name: str, password: str) -> Visitor:
        if self.fails:
            raise self.fails.pop(0)
        return Visitor({"status": 200})


def test_sign_outs_are_recorded_and_cookies_tried_again() -> None:
    people = [Visitor({"status": 200}) for _ in range(3)]
    door: Any = Door(NoAnswer("503"))
    with SignOuts(door, people) as leaving:  # type: ignore[arg-type]
        leaving.until(ended=3, within=10)
    people[1].state["silent"] = True  # answers when asked again
    told = leaving.history + leaving.ask()
    assert leaving.left == 0
    assert [call.outcome for call in told.of("sign_out")] == ["info", "ok", "ok", "ok"]
    assert [call.value for call in told.of("ask")] == [False, False, False]
    assert check(told, ended_sessions_stay_ended).holds


def test_sign_ins_are_recorded_and_asked_again() -> None:
    answer: Any = SimpleNamespace(headers={}, text="", status_code=500)
    door: Any = Door(Unexpected("the callback", answer))
    with SignIns(door, "vera", "secret") as arriving:
        wait_until(lambda: len(arriving.history.of("sign_in")) > 2, seconds(10), what="three")
    ins = arriving.history.of("sign_in")
    assert ins[0].outcome == "info"
    assert len(arriving.ask().of("ask")) == sum(call.ok for call in ins)


class Store:
    """Takes writes until it is told to raise; keeps what it took."""

    name = "redis-sessions"

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.error: Exception | None = None

    def connected(self, *_: object) -> Store:
        return self

    def connect_member(self, *_: object) -> Store:
        return self

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def set(self, key: str, value: str, ex: int) -> None:
        if self.error:
            raise self.error
        self.kept[key] = value

    def exists(self, key: str) -> int:
        return int(key in self.kept)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "fail"),
        (redis.ReadOnlyError("You can't write against a read only replica."), "fail"),
        (redis.ConnectionError("closed"), "info"),
        (redis.ResponseError("OOM command not allowed"), "info"),
    ],
)
def test_a_direct_writers_refusals_are_told_from_silence(error: Exception, outcome: str) -> None:
    store: Any = Store()
    site: Any = None
    with DirectWrites(site, store, "redis-sessions-0") as writes:
        writes.until(acknowledged=3, within=10)
        store.error = error
        wait_until(lambda: writes.history.of("add")[-1].outcome == outcome, seconds(10), what="it")
        store.error = None
        writes.until(acknowledged=1, within=10)
    first = next(iter(store.kept))
    assert first.startswith(direct.WRITERS["redis-sessions"][1])
    del store.kept[first]
    [read] = writes.read("redis-sessions-1").of("read")
    assert len(read.value) == writes.acknowledged - 1
    assert (writes.refused > 0) == (outcome == "fail")
