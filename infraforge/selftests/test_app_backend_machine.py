"""No order of steps, faults and deaths makes the backend's cache serve stale values.

Hypothesis searches the orders; the same search with one of the rules taken out finds the fault
that the rule is there for.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from infraforge.selftests import backend_model as model
from infraforge.wait import wait_until

redis = model.redis
CALM = ("step_0", "step_1", "step_1", "step_0", "read_0", "read_1", "second")
FAULTS = {
    "cut": ("write_without_redis", "join", "silence"),
    "stop": ("stop_or_go_on", "silence"),
    "restart": ("restart_redis", "second"),
    "promote": ("replicate", "promote", "follow", "second", "second"),
    "crash": ("crash_or_start", "silence"),
    "kill": ("kill", "long_silence"),
    "delete": ("delete",),
}
EPOCHS = ("write_without_redis", "crash_or_start", "second", "silence", "read_0")
OUTAGES = ("write_without_redis", "crash_or_start", "second", "second", "read_0")
FENCES = ("step_0", "step_0", "write_1", "read_1", "die_after_commit")
PROMOTIONS = ("replicate", "write_1", "promote", "follow", "second", "second", "read_1", "read_0")
STRADDLES = ("step_0", "step_0", "step_0", "step_0", "promote_beside_a_write", "read_1")
CREATIONS = ("delete", "read_0", "read_1", "step_0", "step_1")
CHOICES = [CALM, EPOCHS, OUTAGES, FENCES, PROMOTIONS, STRADDLES] + [
    (*CALM, *FAULTS[one], *FAULTS[other]) for one, other in itertools.combinations(FAULTS, 2)
]


class Backend(RuleBasedStateMachine):
    """Two processes, one key, a writer in each, and readers. Each read is judged when it is over.

    choices: what may happen; few kinds of faults at a time, so that orders are searched, not
    numbers. Each machine takes one of them.
    """

    server: Any = None
    spare: Any = None
    choices: Sequence[Sequence[str]] = CHOICES
    fenced_creation = True

    def __init__(self) -> None:
        super().__init__()
        self.world = model.World(self.server, spare=self.spare)
        self.acknowledged = 1  # the newest change that is
        self.calm = True  # Redis did all it was told
        self.seen = [0, 0]  # by each process' client
        self.writers: list[Any] = [None, None]
        self.kinds: Sequence[str] = CALM
        self.read_0()

    @initialize(which=st.integers(0, 1000))
    def choose(self, which: int) -> None:
        self.kinds = self.choices[which % len(self.choices)]

    @rule(steps=st.lists(st.integers(0, 1000), min_size=8, max_size=16))
    def go_on(self, steps: list[int]) -> None:
        for step in steps:
            getattr(self, self.kinds[step % len(self.kinds)])()
            self.judge_what_stays()

    def step_0(self) -> None:
        self._step(0)

    def step_1(self) -> None:
        self._step(1)

    def _step(self, who: int) -> None:
        """One step of the process' writer; it starts over after its last."""
        writer = self.writers[who]
        if writer is None or not writer.at:
            writer = self.writers[who] = self.begin(who, "put")
        self.world.step(writer)

    def read_0(self) -> None:
        self.world.run(self.begin(0, "read"))

    def read_1(self) -> None:
        self.world.run(self.begin(1, "read"))

    def write_1(self) -> None:
        self.world.run(self.begin(1, "put"))

    def delete(self) -> None:
        self.world.run(self.begin(0, "delete"))

    def write_without_redis(self) -> None:
        """A writer whose process does not reach Redis, while the other does."""
        self.calm = False
        self.world.processes[1].cut = True
        self.world.run(self.begin(1, "put"))

    def join(self) -> None:
        self.world.processes[1].cut = False

    def stop_or_go_on(self) -> None:
        self.calm = False
        if self.world.redis.stopped:
            self.world.redis.go_on()
        else:
            self.world.redis.stopped = True

    def restart_redis(self) -> None:
        """Beside writers, too, whose marks it loses."""
        self.calm = False
        self.world.redis.forget()

    def replicate(self) -> None:
        self.world.replicate()

    def promote(self) -> None:
        """With what was replicated so far; the first process goes on talking to the former one."""
        self.calm = False
        self.world.processes[0].pinned = self.world.promote()

    def follow(self) -> None:
        self.world.processes[0].pinned = None

    def crash_or_start(self) -> None:
        if self.world.postgres.up:
            self.world.postgres.crash()
        else:
            self.world.postgres.up = True

    def kill(self) -> None:
        self.world.kill(self.world.processes[0])

    def die_after_commit(self) -> None:
        """Before the release: what was fenced must stay so."""
        if self.writers[0] is not None and self.writers[0].at == "committed":
            self.kill()

    def second(self) -> None:
        """A second passes; all pulses beat."""
        self.world.pass_time(1.0)
        for process in self.world.processes:
            process.beat()
            process.cache.probe()
        self._wake()

    def promote_beside_a_write(self) -> None:
        """While the first process' writer is about to commit, and long enough to name another."""
        if self.writers[0] is None or self.writers[0].at != "commit":
            return
        self.promote()
        for _ in range(6):
            self.world.pass_time(1.0)
            self.world.processes[1].beat()
            self.world.processes[1].cache.probe()

    def silence(self) -> None:
        """Time passes in which no pulse beats."""
        self.world.pass_time(2.0)
        self._wake()

    def long_silence(self) -> None:
        self.world.pass_time(21.0)
        self._wake()

    def _wake(self) -> None:
        for operation in list(self.world.operations):
            if operation.at == "asleep":
                self.world.run(operation)

    def begin(self, who: int, kind: str) -> Any:
        process = self.world.processes[who]
        work = {
            "read": lambda: self.read(who, process),
            "put": lambda: self.write(process, True),
            "delete": lambda: self.write(process, False),
        }[kind]
        return self.world.begin(process, work)

    def read(self, who: int, process: Any) -> None:
        at_least, seen = self.acknowledged, self.seen[who]
        try:
            body = process.read()
        except model.problems.Unavailable:
            return
        postgres = self.world.postgres
        numbers = range(at_least, len(postgres.rows))
        possible = [number for number in numbers if postgres.body(number) == body]
        assert possible, f"{body!r} was read after change {at_least} was acknowledged"
        if body is not None and self.calm:
            assert possible[0] >= seen, f"{body!r} was read after its client saw change {seen}"
            self.seen[who] = max(possible[0], self.seen[who])

    def write(self, process: Any, present: bool) -> None:
        fenced = self.fenced_creation or self.world.postgres.rows[-1]
        try:
            number = process.write(present, fenced)
        except (model.problems.Unavailable, model.problems.OutcomeUnknown):
            return
        assert self.world.postgres.rows[number] == present
        self.acknowledged = max(self.acknowledged, number)

    def judge_what_stays(self) -> None:
        """With nothing under way, also where writers died or got no answer."""
        postgres = self.world.postgres
        if self.world.operations or self.world.redis.late:
            return
        if postgres.named != self.world.redis.run_id:
            return  # nobody may use it
        value = self.world.redis.server.get("k")
        prefix = f"{postgres.epoch}\n".encode()
        if value is not None and value.startswith(prefix):
            kept = value.removeprefix(prefix) or None
            assert kept == postgres.body(postgres.newest), f"{value!r} stays cached"

    def teardown(self) -> None:
        self.world.end()


def search(machine: type[Backend], examples: int) -> None:
    """Try so many orders, the same ones each time."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=10,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(params=["fakeredis", "redis-server"])
def redises(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What runs the scripts: a Redis of our own where one is installed, and what stands for it.

    Two databases of it: neither sees the other's.
    """
    if request.param == "fakeredis":
        yield {}
        return
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server on the PATH")
    socket = tmp_path / "redis.sock"
    argv = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", tmp_path]
    with subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL) as process:
        client, other = (redis.Redis(unix_socket_path=str(socket), db=one) for one in range(2))
        try:
            wait_until(client.ping, within=10, ignoring=(redis.RedisError,), what="redis-server")
            yield {"server": client, "spare": other}
        finally:
            client.close()
            other.close()
            process.terminate()


def test_no_order_of_steps_serves_what_was_replaced(redises: dict[str, Any]) -> None:
    search(type("Whole", (Backend,), redises), examples=70)


def extends_what_has_run_out(patch: pytest.MonkeyPatch) -> None:
    def refused(self: Any, asked_at: float) -> None:
        self._extended = max(self._extended, asked_at)

    patch.setattr(model.epoch.EpochKnowledge, "refused", refused)


def acknowledges_without_asking_again(patch: pytest.MonkeyPatch) -> None:
    def wait_only(self: Any, connection: Any) -> None:
        self._pause(self._config.lease_seconds)

    patch.setattr(model.database.Database, "_outlast_leases", wait_only)


def has_one_mark_for_all_writers(patch: pytest.MonkeyPatch) -> None:
    scripts = model.cache.scripts
    one = scripts.FENCE.replace(
        "end_leases(KEYS[i + 1])\n  hold", "redis.call('DEL', KEYS[i + 1])\n  hold"
    )
    assert one != scripts.FENCE
    patch.setattr(scripts, "FENCE", one)


def takes_every_mark_away(patch: pytest.MonkeyPatch) -> None:
    scripts = model.cache.scripts
    all_of_them = scripts.RELEASE.replace("'ZREM', KEYS[i + 1], ARGV[1]", "'DEL', KEYS[i + 1]")
    assert all_of_them != scripts.RELEASE
    patch.setattr(scripts, "RELEASE", all_of_them)


def asks_any_server(patch: pytest.MonkeyPatch) -> None:
    asked = model.ScriptedRedis.eval
    patch.setattr(
        model.ScriptedRedis, "eval", lambda self, _server, *rest: asked(self, None, *rest)
    )


def names_without_a_wait(patch: pytest.MonkeyPatch) -> None:
    made = model.naming.Naming.__init__
    patch.setattr(
        model.naming.Naming, "__init__", lambda self, met, _, clock: made(self, met, 0.0, clock)
    )


def names_beside_open_transactions(patch: pytest.MonkeyPatch) -> None:
    nobody = property(lambda _: set(), lambda *_: None)
    patch.setattr(model.Postgres, "holding", nobody, raising=False)


def creates_without_a_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Backend, "fenced_creation", False)


@pytest.mark.parametrize(
    ("fault", "choice"),
    [
        (extends_what_has_run_out, EPOCHS),
        (acknowledges_without_asking_again, OUTAGES),
        (has_one_mark_for_all_writers, FENCES),
        (takes_every_mark_away, FENCES),
        (creates_without_a_fence, CREATIONS),
        (asks_any_server, PROMOTIONS),
        (names_without_a_wait, PROMOTIONS),
        (names_beside_open_transactions, STRADDLES),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_search_finds_each_fault_that_a_rule_is_there_for(
    fault: Callable[[pytest.MonkeyPatch], None],
    choice: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(monkeypatch)
    machine = type("Faulty", (Backend,), {"choices": [choice]})
    with pytest.raises(AssertionError, match=r"was read after|stays cached"):
        search(machine, examples=1000)
