"""`infraforge bench failover`: figures from histories, what it refuses, and what its code says."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, ClassVar, Self

import pytest

from infraforge import stack
from infraforge.bench import command, failover, kinds, on_platform, rounds, samples
from infraforge.bench.kinds import KINDS, Kind, named
from infraforge.bench.samples import PLAIN, PLATFORM, RAW, Sample
from infraforge.cli import main
from infraforge.errors import ClusterError, Inconclusive, UsageError
from infraforge.faults.base import Fault, Undo
from infraforge.history import NEMESIS, History, Operation
from infraforge.profile import Profile
from infraforge.progress import silent
from infraforge.report import picture
from infraforge.selftests import failovers
from infraforge.selftests.test_checkers_failover import REAL
from infraforge.starvation import Figures
from infraforge.verdict import Outcome

CRASH = named("crash")
WELL = Figures(10.0)
STARVED = Figures(10.0, cpu=0.99)
TTL = 20.0


@pytest.fixture(scope="module")
def real() -> History:
    return History.from_lines(REAL.read_text())


class FakeFaults:
    """Those of a history; heal: what it raises, if anything."""

    def __init__(self, history: History, *, inject: Exception | None, heal: Exception | None):
        self.history, self._inject, self._heal = history, inject, heal
        self.injected: list[str] = []
        self.healed = 0

    def inject(self, kind: Kind) -> None:
        self.injected.append(kind.name)
        if self._inject:
            raise self._inject

    def heal(self) -> None:
        self.healed += 1
        if self._heal:
            raise self._heal


class FakeLoad:
    """Acts out a history; does: what is raised where so many elements are waited for."""

    def __init__(self, history: History, does: BaseException | None, reads: Exception | None):
        own = [op for op in history.operations if op.process != NEMESIS]
        self.finals = History(tuple(op for op in own if op.process.startswith("final-")))
        self.history = History(tuple(op for op in own if not op.process.startswith("final-")))
        self._does, self._reads = does, reads
        self.running = False

    def __enter__(self) -> Self:
        self.running = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running = False

    def until(self, *, acknowledged: int, within: float) -> None:
        assert self.running
        if self._does:
            raise self._does

    def read_every_member(self, within: float) -> History:
        assert not self.running
        if self._reads:
            raise self._reads
        return self.finals


class FakeSubject:
    """Fails over as the histories tell, one after the other, the last again and again."""

    def __init__(self, *histories: History, name: str = PLATFORM) -> None:
        self.name = name
        self._histories = list(histories)
        self._history = History()
        self.does: BaseException | None = None
        self.injects: Exception | None = None
        self.heals: Exception | None = None
        self.reads: Exception | None = None
        self.made: list[FakeFaults] = []
        self.taken_away = 0

    @contextlib.contextmanager
    def load(self) -> Iterator[FakeLoad]:
        try:
            yield FakeLoad(self._history, self.does, self.reads)
        finally:
            self.taken_away += 1

    def faults(self) -> FakeFaults:
        self._history = self._histories.pop(0) if len(self._histories) > 1 else self._histories[0]
        own = [op for op in self._history.operations if op.process == NEMESIS]
        if self.injects:
            own = [dataclasses.replace(op, kind="info") if op.kind == "ok" else op for op in own]
        made = FakeFaults(History(tuple(own)), inject=self.injects, heal=self.heals)
        self.made.append(made)
        return made


def run(tmp_path: Path, repeat: int = 2, figures: Figures = WELL) -> failover.Run:
    return failover.Run(repeat, lambda *_: figures, silent, folder=tmp_path / "bench")


def sample(seconds: float, subject: str = PLATFORM, kind: str = "crash", number: int = 1) -> Sample:
    return Sample(subject, kind, number, Outcome.HOLDS, seconds, 0.02, noticed=True, lost=0)


# the platform


class FakeNemesis:
    """Remembers what is asked of each of its kind."""

    asked: ClassVar[list[str]] = []
    fails = False

    def __init__(self, _: object) -> None:
        self.history = History()

    def inject(self, fault: Fault) -> str:
        self.asked.append(fault.describe())
        self.history = History((Operation(NEMESIS, "invoke", "x", None, None, 1),))
        if self.fails:
            raise Inconclusive("no effect")
        return "seen"

    def heal(self) -> None:
        self.asked.append("heal")

    def owe(self, undo: Undo, what: str) -> None:
        self.asked.append(f"owe {undo.kind}")


ON: Any = SimpleNamespace(profile=Profile.load("enterprise", stack.TREE))


@pytest.fixture
def nemesis(monkeypatch: pytest.MonkeyPatch) -> type[FakeNemesis]:
    monkeypatch.setattr(on_platform, "Nemesis", FakeNemesis)
    monkeypatch.setattr(FakeNemesis, "asked", [])
    restarts = {"postgres-1": 2}

    def found(*_: object, in_pod: str) -> SimpleNamespace:
        return SimpleNamespace(restarts=restarts.get(in_pod, 0))

    monkeypatch.setattr(on_platform.containers, "find", found)
    return FakeNemesis


def test_a_member_that_the_kubelet_restarted_gets_a_new_pod(nemesis: type[FakeNemesis]) -> None:
    """Once all is undone, and each with an undo of its own."""
    made = on_platform.OnPlatform(ON).faults()
    made.inject(named("silent"))
    made.heal()
    assert nemesis.asked == [
        "cut the primary off from everybody",
        "heal",
        "kill the pod of postgres-1",
        "heal",
    ]


def test_nothing_is_killed_where_no_fault_was_injected(nemesis: type[FakeNemesis]) -> None:
    on_platform.OnPlatform(ON).faults().heal()
    assert nemesis.asked == ["heal"]


def test_a_new_pod_that_does_not_come_is_waited_for_and_told(
    nemesis: type[FakeNemesis], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = on_platform.OnPlatform(ON).faults()
    made.inject(CRASH)
    monkeypatch.setattr(FakeNemesis, "fails", True)
    with pytest.raises(Inconclusive, match="no effect"):
        made.heal()
    assert nemesis.asked[-2:] == ["kill the pod of postgres-1", "heal"]


def test_the_platforms_load_runs_with_the_lock_watched_and_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, real: History, nemesis: type[FakeNemesis]
) -> None:
    """What is owed is noted first, the histories are one, and the load goes whatever happens."""
    lock = real.watched[0]
    rest = History(tuple(op for op in real if op not in lock.operations))
    done = nemesis.asked

    class RemoteLoad(FakeLoad):
        def __init__(self, site: object, **load: object) -> None:
            assert load == rounds.LOAD
            super().__init__(rest, None, None)

        def prepare(self) -> None:
            done.append("prepared")

        def close(self) -> None:
            done.append(f"closed, running: {self.running}")

    class LockWatcher(contextlib.AbstractContextManager[Any]):
        history = History(lock.operations)

        def __init__(self, site: object) -> None:
            assert site is ON

        def __exit__(self, *_: object) -> None:
            done.append("watched")

    monkeypatch.setattr(on_platform, "RemoteLoad", RemoteLoad)
    monkeypatch.setattr(on_platform, "LockWatcher", LockWatcher)
    with pytest.raises(KeyboardInterrupt), on_platform.OnPlatform(ON).load() as load:  # noqa: PT012
        with load:
            load.until(acknowledged=1, within=1)
        told = load.history + load.read_every_member(1)
        raise KeyboardInterrupt
    wanted = ["owe load-removed", "prepared", "watched", "closed, running: False", "heal"]
    assert done == wanted
    own = [op for op in real.operations if op.process != NEMESIS]
    assert sorted(map(str, told)) == sorted(map(str, own))


def test_the_platform_is_held_alone_and_left_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class FakeUse:
        def __init__(self, name: str, what: str) -> None:
            done.append(what)

        def join(self) -> Self:
            return self

        @contextlib.contextmanager
        def alone(self) -> Iterator[None]:
            done.append("alone")
            yield
            done.append("shared")

    site = SimpleNamespace(close=lambda: done.append("closed"))
    monkeypatch.setattr(on_platform, "Use", FakeUse)
    monkeypatch.setattr(on_platform.healing, "before_run", lambda _: done.append("healed"))
    monkeypatch.setattr(stack, "is_up", lambda _: True)
    monkeypatch.setattr(stack, "attach", lambda _: SimpleNamespace(site=site))
    monkeypatch.setattr(stack, "leave", lambda _: done.append("left"))
    with on_platform.using("x") as platform:
        assert platform.site is site
        done.append("used")
    wanted = ["infraforge bench failover", "healed", "alone", "used", "closed", "shared", "left"]
    assert done == wanted


# figures


def test_a_percentile_is_the_nearest_rank() -> None:
    """The examples of definition 1: always a sample, the smallest that enough do not exceed."""
    twenty = [float(number) for number in range(20, 0, -1)]
    assert [samples.percentile(twenty, share) for share in (1, 5, 50, 95, 96, 100)] == [
        *(1.0, 1.0, 10.0, 19.0, 20.0, 20.0)
    ]
    assert samples.percentile([float(n) for n in range(1, 101)], 7) == 7.0
    assert samples.percentile([3.0], 50) == samples.percentile([3.0], 95) == 3.0
    assert samples.percentile([1.0, 9.0], 50) == 1.0
    with pytest.raises(ValueError, match="nothing"):
        samples.percentile([], 50)


def test_a_sample_of_a_real_failover_has_its_terms(tmp_path: Path, real: History) -> None:
    """The same figures that its picture has."""
    shown = picture.samples(real)
    (row,) = shown.rows
    found, verdict, history = rounds.failover(FakeSubject(real), CRASH, 1, lambda *_: WELL)
    assert f"{found.seconds:.3f}" == shown[row, "RTO, s"]
    assert f"{found.error:.3f}" == shown[row, "error, s"]
    terms = {name: f"{found.terms[name]:.3f}" for name in found.terms}
    assert terms == {name: shown[row, f"{name}, s"] for name in terms}
    assert set(terms) == {"detection", "election", "promotion", "routing", "reconnect"}
    assert round(100 * (found.explained or 0)) == shown[row, "explained, %"]
    assert (found.lost, found.trouble, found.noticed) == (0, "", True)
    assert found.acknowledged == sum(call.ok for call in real.of("add", "write"))
    assert verdict.outcome is found.outcome is Outcome.HOLDS
    assert len(history) == len(real) + 2  # how the machine was
    assert json.loads(json.dumps(found.to_dict()))["terms"] == dict(found.terms)


def test_figures_are_of_each_kind_and_subject() -> None:
    taken = [sample(float(number), number=number) for number in range(1, 21)]
    taken += [sample(10.0, PLAIN), sample(0.1, RAW), sample(21.5, kind="silent")]
    found = samples.figures(taken)
    assert found["crash, p50, s"] == 10.0
    assert found["crash, p95, s"] == 19.0
    assert found["crash, max, s"] == 20.0
    assert found["crash, greatest error, s"] == 0.02
    assert found["crash, plain Patroni, p95, s"] == 10.0
    assert found["crash, raw promotion, max, s"] == 0.1
    assert found["silent, max, s"] == 21.5
    assert found["crash, p95 as a multiple of plain Patroni's"] == pytest.approx(1.9)
    assert all(isinstance(number, int | float) for number in found.values())


@pytest.mark.parametrize(
    ("kind", "seconds", "missed"),
    [
        *(("crash", 3.5, False), ("crash", 3.6, True)),
        *(("crash-third-silent", 6.0, False), ("crash-third-silent", 6.1, True)),
        *(("silent", 24.0, False), ("silent", 24.1, True)),
        *(("switchover", 3.0, False), ("switchover", 3.1, True)),
        *(("standby-frozen", 7.0, False), ("standby-frozen", 7.1, True)),
    ],
)
def test_what_a_kind_must_reach_is_told_and_whether_it_did(
    kind: str, seconds: float, missed: bool
) -> None:
    _, line, *_ = samples.table([sample(seconds, kind=kind)], TTL)
    assert line.startswith(kind)
    assert f"<= {named(kind).bound(TTL):g}" in line
    assert line.endswith("MISSED") == missed


def test_one_slow_crash_of_twenty_is_within_the_95th_percentile_but_not_of_switchovers() -> None:
    for kind, missed in (("crash", False), ("switchover", True)):
        taken = [sample(1.0, kind=kind, number=number) for number in range(19)]
        _, line, *_ = samples.table([*taken, sample(9.0, kind=kind)], TTL)
        assert line.endswith("MISSED") == missed


@pytest.mark.parametrize(("seconds", "word"), [(2.8, "within 1.4"), (2.9, "MISSED: 1.4")])
def test_a_crash_is_held_against_plain_patroni(seconds: float, word: str) -> None:
    lines = samples.table([sample(seconds), sample(2.0, PLAIN)], TTL)
    assert any(f"crash p95 is {seconds / 2:.2f} of plain Patroni's; {word}" in one for one in lines)
    assert not any("of plain Patroni's" in one for one in samples.table([sample(seconds)], TTL))


def test_a_starved_sample_is_marked_and_counts(real: History) -> None:
    """It is in every figure, in the table's count, and in a line of its own."""
    starved, _, _ = rounds.failover(FakeSubject(real), CRASH, 2, lambda *_: STARVED)
    assert starved.starved == ("cpu 0.99 is above 0.97",)
    assert starved.seconds is not None
    taken = [sample(starved.seconds / 2), starved]
    found = samples.figures(taken)
    assert found["crash, max, s"] == found["crash, p95, s"] == starved.seconds
    assert found["crash, starved"] == 1
    lines = samples.table(taken, TTL)
    assert lines[1].split()[6] == "1"
    assert [line for line in lines if "platform, crash 2" in line and "starved machine" in line]
    well, _, _ = rounds.failover(FakeSubject(real), CRASH, 1, lambda *_: WELL)
    assert well.starved == ()


def test_a_gap_within_the_probes_error_is_said_to_be_one() -> None:
    unnoticed = dataclasses.replace(sample(0.02), error=0.03, noticed=False)
    assert any("within the probe's error 0.030 s" in line for line in samples.table([unnoticed], 1))


def test_a_sample_without_a_figure_is_counted_and_named() -> None:
    lacking = dataclasses.replace(sample(1.0, number=7), seconds=None, trouble="no pod")
    lines = samples.table([sample(1.0), lacking], TTL)
    assert lines[1].split()[1] == "1/2"
    assert "platform, crash 7: no figure: no pod" in lines
    assert samples.figures([sample(1.0), lacking])["crash, without a figure"] == 1


# one failover


def test_everything_is_undone_whatever_happens(real: History) -> None:
    """Also on an interrupt, and where the load or the fault fails."""
    for does, raises in (
        (None, contextlib.nullcontext()),
        (ClusterError("no pod"), contextlib.nullcontext()),
        (KeyboardInterrupt(), pytest.raises(KeyboardInterrupt)),
        (RuntimeError("a defect"), pytest.raises(RuntimeError)),
    ):
        subject = FakeSubject(real)
        subject.does = does
        with raises:
            rounds.failover(subject, CRASH, 1, lambda *_: WELL)
        assert [made.healed for made in subject.made] == [1], does
        assert subject.taken_away == 1


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("does", ClusterError("the pod is gone")),
        ("injects", Inconclusive("the pod is gone")),
        ("heals", Inconclusive("ended before it was undone: the pod is gone")),
        ("reads", ClusterError("the pod is gone")),
    ],
)
def test_what_goes_wrong_is_in_the_sample_and_unknown(
    real: History, what: str, error: Exception
) -> None:
    subject = FakeSubject(real)
    setattr(subject, what, error)
    found, verdict, _ = rounds.failover(subject, CRASH, 1, lambda *_: WELL)
    assert "the pod is gone" in found.trouble
    assert found.outcome is verdict.outcome is Outcome.UNKNOWN
    assert "the pod is gone" in verdict.explain()


def test_the_time_of_a_fault_without_proof_is_no_figure(real: History) -> None:
    subject = FakeSubject(real)
    subject.injects = Inconclusive("nothing proves it")
    found, _, _ = rounds.failover(subject, CRASH, 1, lambda *_: WELL)
    assert found.seconds is None


def test_both_of_two_troubles_are_told(real: History) -> None:
    subject = FakeSubject(real)
    subject.does, subject.heals = ClusterError("no answer"), Inconclusive("not undone")
    found, _, _ = rounds.failover(subject, CRASH, 1, lambda *_: WELL)
    assert found.trouble == "no answer; not undone"


# the run and its exit code


def planted(plant: Callable[..., History] | None) -> History:
    made = failovers.sound(3)
    return plant(made, failovers.random.Random(1)) if plant else made


def without_final_reads(history: History, _: object) -> History:
    own = [op for op in history.operations if not op.process.startswith("final-")]
    return History(tuple(own))


@pytest.mark.parametrize(
    ("plant", "code", "word"),
    [
        (None, 0, "holds"),
        (failovers.a_lost_write, 1, "broken"),
        (failovers.a_phantom, 1, "broken"),
        (failovers.two_primaries, 1, "broken"),
        (failovers.a_read_back_in_time, 1, "broken"),
        (without_final_reads, 2, "unknown"),
    ],
)
def test_the_exit_code_is_the_worst_verdict(
    tmp_path: Path, plant: Callable[..., History] | None, code: int, word: str
) -> None:
    """One failover of three decides, and its history is kept."""
    taken = run(tmp_path, repeat=3)
    failover.repeated(taken, FakeSubject(planted(None), planted(plant), planted(None)), CRASH)
    made = failover.result(taken, TTL)
    assert made.exit_code == code
    assert made.lines[-1] == f"the platform: {word}"
    assert made.details["outcome"] == word
    assert len(made.details["samples"]) == 3
    kept = list((tmp_path / "bench").glob("*.jsonl"))
    assert len(kept) == (0 if code == 0 else 1)
    assert all(f"history kept: {path}" in made.lines for path in kept)
    for path in kept:
        assert History.from_lines(path.read_text()).faults


def test_what_was_lost_is_counted_over_all_failovers(tmp_path: Path) -> None:
    taken = run(tmp_path, repeat=3)
    lost = planted(failovers.a_lost_write)
    failover.repeated(taken, FakeSubject(lost, planted(None), lost), CRASH)
    made = failover.result(taken, TTL)
    assert made.figures["acknowledged commits lost"] == 2
    each = sum(call.ok for call in lost.of("add", "write"))
    assert made.figures["acknowledged commits"] == 3 * each
    assert f"3 failovers, {3 * each} commits acknowledged, 2 lost" in made.lines


def test_losses_that_are_not_known_are_no_zero(tmp_path: Path) -> None:
    taken = run(tmp_path, repeat=1)
    unread = FakeSubject(without_final_reads(planted(None), None))
    failover.repeated(taken, unread, CRASH)
    made = failover.result(taken, TTL)
    assert made.figures["failovers whose losses are not known"] == 1
    assert any("0 lost; not known of 1 failovers" in line for line in made.lines)
    assert made.lines[1].split()[7] == "?"


def test_nothing_measured_is_unknown(tmp_path: Path) -> None:
    assert failover.result(run(tmp_path), TTL).exit_code == 2


def test_the_bench_gives_up_after_two_without_a_figure(tmp_path: Path, real: History) -> None:
    subject = FakeSubject(real)
    subject.injects = Inconclusive("nothing proves it")
    taken = run(tmp_path, repeat=5)
    peers = {PLAIN: lambda _: contextlib.nullcontext(FakeSubject(real, name=PLAIN))}
    failover.measure(taken, subject, [CRASH, named("silent")], _profile("enterprise"), peers)
    assert len(taken.samples) == 2
    assert set(taken.skipped) == {"the rest of platform, crash", "silent", PLAIN}
    made = failover.result(taken, TTL)
    assert made.exit_code == 2
    assert "not measured: silent: crash was given up" in made.lines


def test_an_interrupt_keeps_what_was_measured(
    tmp_path: Path, real: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the failover that it met is undone; and is an interrupt to the caller."""
    subject = FakeSubject(real)
    said: list[str] = []

    def say(_: str, step: str) -> None:
        said.append(step)
        subject.does = KeyboardInterrupt() if step == "2 of 3" else None

    @contextlib.contextmanager
    def using(_: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(site=SimpleNamespace(profile=_profile("enterprise")))

    monkeypatch.setattr(failover, "using", using)
    monkeypatch.setattr(failover.containers, "nodes", lambda _: None)
    monkeypatch.setattr(failover, "OnPlatform", lambda *_: subject)
    monkeypatch.setattr(failover.folders, "output", lambda: tmp_path)
    made = failover.failover(3, ["crash"], say)
    assert made.exit_code == 130
    assert [one["number"] for one in made.details["samples"]] == [1]
    assert [one.healed for one in subject.made] == [1, 1]
    assert made.lines[-1] == "the platform: holds; interrupted"


def test_progress_tells_which_of_how_many(tmp_path: Path, real: History) -> None:
    said: list[str] = []
    taken = dataclasses.replace(
        run(tmp_path), say=lambda name, step: said.append(f"{name}: {step}")
    )
    failover.repeated(taken, FakeSubject(real), CRASH)
    assert said[:2] == ["platform, crash: 1 of 2", "platform, crash: 2 of 2"]
    assert said[2].startswith("platform, crash: 2 failovers, the longest ")


# peers


def test_peers_get_the_same_crash_right_after_it(tmp_path: Path, real: History) -> None:
    plain, ours = FakeSubject(real, name=PLAIN), FakeSubject(real)
    taken = run(tmp_path)
    peers = {PLAIN: lambda _: contextlib.nullcontext(plain)}
    failover.measure(taken, ours, [CRASH, named("silent")], _profile("enterprise"), peers)
    assert [(one.subject, one.kind) for one in taken.samples] == [
        *[(PLATFORM, "crash")] * 2,
        *[(PLAIN, "crash")] * 2,
        *[(PLATFORM, "silent")] * 2,
    ]
    assert [made.injected for made in plain.made] == [["crash"]] * 2
    assert any("verdicts, plain Patroni: 2 holds" in one for one in failover.result(taken, 1).lines)


def test_a_peer_that_cannot_run_is_skipped_in_words(tmp_path: Path, real: History) -> None:
    """And changes no verdict of the platform's; nor does one that is judged broken."""

    @contextlib.contextmanager
    def missing(_: Profile) -> Iterator[FakeSubject]:
        raise UsageError("image etcd is not built; run: infraforge images build etcd")
        yield

    taken = run(tmp_path, repeat=1)
    broken = FakeSubject(planted(failovers.a_lost_write), name=RAW)
    peers = {PLAIN: missing, RAW: lambda _: contextlib.nullcontext(broken)}
    failover.measure(taken, FakeSubject(real), [CRASH], _profile("enterprise"), peers)
    made = failover.result(taken, TTL)
    said = "plain Patroni: image etcd is not built; run: infraforge images build etcd"
    assert f"not measured: {said}" in made.lines
    assert made.details["skipped"] == dict([said.split(": ", 1)])
    assert "verdicts, raw promotion: 1 broken" in made.lines
    assert made.exit_code == 0


def test_without_crashes_the_peers_are_said_to_be_left_out(tmp_path: Path, real: History) -> None:
    taken = run(tmp_path)
    chosen = [named("switchover")]
    failover.measure(taken, FakeSubject(real), chosen, _profile("enterprise"), failover.PEERS)
    assert set(taken.skipped) == {PLAIN, RAW}


# what is refused


def _profile(name: str) -> Profile:
    return Profile.load(name, stack.TREE)


def test_a_platform_of_one_member_is_refused_with_the_command() -> None:
    with pytest.raises(UsageError) as refused:
        failover.choose(_profile("minimal"), None)
    assert str(refused.value) == (
        "profile minimal has one member of PostgreSQL, so none takes over; run: "
        "infraforge down, then: infraforge up --profile enterprise"
    )


def test_no_platform_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "is_up", lambda _: False)
    with pytest.raises(UsageError, match="no platform 'infraforge' is up; run: infraforge up --p"):
        failover.failover(1, None, silent)


def test_two_members_have_no_third_that_falls_silent() -> None:
    """Left out in words, and refused where it was asked for."""
    chosen, skipped = failover.choose(_profile("professional"), None)
    assert [kind.name for kind in chosen] == [n for n in kinds.NAMES if n != "crash-third-silent"]
    assert skipped == {"crash-third-silent": "needs 3 members, profile professional has 2"}
    with pytest.raises(UsageError, match=r"needs 3 members.*up --profile enterprise"):
        failover.choose(_profile("professional"), ["crash", "crash-third-silent"])


def test_kinds_are_chosen_by_name_in_their_own_order() -> None:
    assert failover.choose(_profile("enterprise"), None) == (list(KINDS), {})
    chosen, _ = failover.choose(_profile("enterprise"), ["silent", "crash", "silent"])
    assert [kind.name for kind in chosen] == ["crash", "silent"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["reads", "--repeat", "3"], "bench reads takes no --repeat; it takes: --json"),
        (["checkers", "--profile", "minimal"], "bench checkers takes no --profile"),
        (["standup", "--only", "crash"], "takes no --only; it takes: --profile, --json"),
        (["failover", "--profile", "x"], "takes no --profile; it takes: --repeat, --only, --json"),
        (["failover", "--only", "lunch"], "invalid choice: 'lunch'"),
        (["failover", "--repeat", "0"], "is not a number of failovers from 1"),
    ],
)
def test_an_option_that_a_bench_does_not_know_is_refused(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    try:
        code: object = main(["bench", *argv])
    except SystemExit as ended:
        code = ended.code
    assert code == 64
    assert said in capsys.readouterr().err


def test_figures_are_written_and_recognised(
    tmp_path: Path,
    real: History,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file of an earlier run is replaced, in both forms, and no other."""
    taken = run(tmp_path)
    failover.repeated(taken, FakeSubject(real), CRASH)
    asked: list[object] = []

    def measured(*arguments: object) -> object:
        asked.append(arguments[:2])
        return failover.result(taken, TTL)

    monkeypatch.setattr(failover, "failover", measured)
    for kept in ("", '{"whole platform, s": 61.5}', None, '{"kind": "Pod"}'):
        if kept is not None:
            (tmp_path / "f.json").write_text(kept)
        argv = ["bench", "failover", "--repeat", "2", "--only", "crash"]
        code = main([*argv, "--json", str(tmp_path / "f.json")])
        assert code == (64 if kept and "Pod" in kept else 0)
        assert asked[-1] == (2, ["crash"])
    assert len(asked) == 3
    assert "the platform: holds" in capsys.readouterr().out


def test_the_help_names_every_kind_with_what_it_must_reach() -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    told = parser.format_help()
    for kind in KINDS:
        assert f"{kind.what}; {kind.promise}" in told
    assert "max at most ttl + 4 s" in told
