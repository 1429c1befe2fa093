"""Which sessions the sweeper ends: after days of one master, a restart, and a promotion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from lupa import lua51  # Redis' own, and fakeredis': two kinds of Lua in one process clash

from infraforge.selftests import apps

SCRIPT = (apps.APPS.parent / "components" / "redis-sessions" / "idle.lua").read_text()
LIMIT = 1800
SWEEP = 30
NEVER = "-1"


@dataclasses.dataclass
class Store:
    """A server as the script sees it. Reads are its own; writes reach its replica, too.

    history: its replication id. before: where a former master's history ended; "-1" for none.
    """

    clock: Callable[[], float]
    history: str = "a1"
    before: str = NEVER
    role: str = "master"
    began: float = 0.0
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    used: dict[str, float] = dataclasses.field(default_factory=dict)

    def sweep(self) -> int:
        lua = lua51.LuaRuntime(unpack_returned_tuples=True)
        run = lua.eval(f"function(redis, ARGV) {SCRIPT} end")
        ended = run(lua.table_from({"call": self._caller(lua)}), lua.table_from(["s:*", LIMIT]))
        return int(ended)

    def use(self, key: str) -> None:
        self.used[key] = self.clock()

    def put(self, key: str) -> None:
        self.kept[key] = "session"
        self.use(key)

    def restarted(self) -> Store:
        """The same data in another process; loading reads every key."""
        kept = dict(self.kept)
        loaded = dict.fromkeys(self.used, self.clock())
        history = self.history + "0"
        return Store(self.clock, history, began=self.clock(), kept=kept, used=loaded)

    def replica(self) -> Store:
        """What has all its writes, and has been read by nobody."""
        kept = dict(self.kept)
        written = dict.fromkeys(self.used, self.clock())
        return Store(
            self.clock, self.history, role="slave", began=self.began, kept=kept, used=written
        )

    def promoted(self) -> Store:
        return dataclasses.replace(self, role="master", before="4711", history=self.history + "1")

    def _caller(self, lua: Any) -> Callable[..., Any]:
        """`redis.call`: a list it answers becomes a table."""

        def table(answer: Any) -> Any:
            return lua.table_from(map(table, answer)) if isinstance(answer, list) else answer

        return lambda command, *rest: table(getattr(self, f"_{command.lower()}")(*rest))

    def _sessions(self) -> list[str]:
        return [key for key in self.kept if key.startswith("s:")]

    def _time(self) -> list[int]:
        return [int(self.clock()), 0]

    def _info(self, section: str) -> str:
        if section == "server":
            return f"uptime_in_seconds:{int(self.clock() - self.began)}\r\n"
        fields = {"role": self.role, "master_replid": self.history, "master_replid2": "00"}
        fields["second_repl_offset"] = self.before
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items())

    def _scan(self, *_: Any) -> list[Any]:
        return ["0", self._sessions()]

    def _object(self, _what: str, key: str) -> int:
        return int(self.clock() - self.used[key])

    def _get(self, key: str) -> Any:
        return self.kept.get(key, False)

    def _set(self, key: str, value: Any, *_: Any) -> None:
        assert self.role == "master", "READONLY"
        self.kept[key] = str(value)

    def _unlink(self, key: str) -> int:
        assert self.role == "master", "READONLY"
        return int(self.kept.pop(key, None) is not None)

    def _del(self, key: str) -> None:
        self.kept.pop(key, None)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    """A master of many days."""
    return Store(clock, began=clock.now - 500_000)


def go_on(store: Store, clock: Clock, seconds: int, *used: str) -> int:
    """Sweep for so long, with these sessions in use; how many were ended."""
    ended = 0
    for _ in range(seconds // SWEEP):
        clock.now += SWEEP
        for key in used:
            store.use(key)
        ended += store.sweep()
    return ended


def test_what_is_idle_ends_and_what_is_used_does_not(store: Store, clock: Clock) -> None:
    store.put("s:idle")
    store.put("s:used")
    assert go_on(store, clock, LIMIT - SWEEP, "s:used") == 0
    assert go_on(store, clock, 2 * SWEEP, "s:used") == 1
    assert store._sessions() == ["s:used"]


def test_a_restart_does_not_begin_the_idle_time_anew(store: Store, clock: Clock) -> None:
    store.put("s:idle")
    go_on(store, clock, LIMIT - 300)
    after = store.restarted()
    assert go_on(after, clock, 300 - SWEEP) == 0
    assert go_on(after, clock, 2 * SWEEP) == 1


def test_a_replica_ends_nothing_and_writes_nothing(store: Store, clock: Clock) -> None:
    store.put("s:idle")
    other = store.replica()
    before = dict(other.kept)
    assert go_on(other, clock, 3 * LIMIT) == 0
    assert other.kept == before


def test_a_promotion_signs_nobody_out(store: Store, clock: Clock) -> None:
    """Whoever was read on the former master all day is not idle, whatever the replica thinks."""
    store.put("s:used")
    go_on(store, clock, SWEEP)
    other = store.replica()
    go_on(store, clock, 3 * LIMIT, "s:used")
    now = other.promoted()
    assert now.sweep() == 0
    assert go_on(now, clock, LIMIT - SWEEP) == 0


def test_nor_does_a_note_of_a_last_use_that_the_former_master_made_before_it_died(
    store: Store, clock: Clock
) -> None:
    """A use after its last sweep is in no note."""
    store.put("s:used")
    go_on(store, clock, LIMIT - SWEEP)
    other = store.replica()
    store.use("s:used")
    clock.now += SWEEP / 2
    now = other.promoted()
    assert go_on(now, clock, LIMIT - SWEEP) == 0


def test_what_stays_idle_after_a_promotion_ends_a_limit_later(store: Store, clock: Clock) -> None:
    store.put("s:idle")
    store.put("s:used")
    go_on(store, clock, LIMIT // 2, "s:used")
    now = store.replica().promoted()
    assert go_on(now, clock, LIMIT + 2 * SWEEP, "s:used") == 1
    assert now._sessions() == ["s:used"]


def test_a_second_reign_of_a_server_counts_from_its_own_begin(store: Store, clock: Clock) -> None:
    """Even if the one between was too short for a sweep, so that the note is still its own."""
    store.put("s:used")
    go_on(store, clock, LIMIT - SWEEP)
    between = store.replica().promoted()
    between.use("s:used")
    again = dataclasses.replace(
        store, before="4712", history=between.history + "1", kept=dict(between.kept)
    )
    clock.now += SWEEP
    assert again.sweep() == 0


def test_a_restart_of_a_promoted_server_forgets_no_promotion(store: Store, clock: Clock) -> None:
    store.put("s:used")
    go_on(store, clock, LIMIT - SWEEP)
    now = store.replica().promoted()
    now.sweep()
    after = now.restarted()
    clock.now += SWEEP
    assert after.sweep() == 0
