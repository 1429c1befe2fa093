"""When a machine counts as starved: recorded figures on both sides of each bound."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from infraforge import starvation
from infraforge.starvation import Figures, Moment, Watch, between, look

# share of 5 s each in which a task waited, two cores, 2026-11-27: first with a load of 4.6 to 5.2
# (a compiler and tests), then with one of 5.4 to 11.6
BUSY = (0.642, 0.691, 0.656, 0.652, 0.641, 0.638, 0.723, 0.708, 0.802, 0.942, 0.967, 0.875)
STARVED = (0.991, 0.986, 0.995, 0.995, 0.999, 0.996, 0.999, 0.986, 0.982, 0.98, 0.997, 0.971)
# share of 10 s each beside neighbours at nice 19 in other sessions, on two cores, 2026-11-28: there
# a thread at nice 0 ran for 0.21, 0.23, 0.16 and 0.27 of the time in which it wanted to run
NICED = (0.991, 0.972, 0.953, 0.991)


def recorded(shares: Sequence[float], step: float = 5.0) -> list[Moment]:
    moments = [Moment(0.0, {"cpu": 10.0})]
    for share in shares:
        last = moments[-1]
        moments.append(Moment(last.at + step, {"cpu": last.stalled["cpu"] + share * step}))
    return moments


def test_a_machine_that_is_merely_busy_is_not_starved() -> None:
    figures = between(recorded(BUSY), 0.0, 60.0)
    assert figures.cpu == pytest.approx(sum(BUSY) / len(BUSY))
    assert figures.starved == ()


def test_a_starved_machine_is_recognised_with_its_figure() -> None:
    figures = between(recorded(STARVED), 0.0, 60.0)
    assert figures.starved == ("cpu 0.99 is above 0.97",)
    assert "over 60 s: cpu 0.99, memory unknown" in str(figures)


def test_neighbours_at_nice_19_starve_a_machine_like_any_others() -> None:
    figures = between(recorded(NICED, 10.0), 0.0, 40.0)
    assert figures.starved == ("cpu 0.98 is above 0.97",)


def test_only_the_time_of_the_wait_counts() -> None:
    moments = recorded([*BUSY, *STARVED])
    assert not between(moments, 0.0, 60.0).starved
    assert between(moments, 60.0, 120.0).starved


def test_a_short_peak_is_not_starvation() -> None:
    """A wait of two seconds is judged by the ten before its end."""
    moments = recorded([*BUSY[:6], 0.99])
    assert between(moments, 33.0, 35.0).seconds == pytest.approx(10.0)
    assert not between(moments, 33.0, 35.0).starved


@pytest.mark.parametrize(
    ("figures", "starved"),
    [
        (Figures(30, steal=0.02), False),
        (Figures(30, steal=0.25), True),
        (Figures(30, memory=0.01, io=0.1), False),
        (Figures(30, memory=0.4), True),
        (Figures(30, io=0.5), True),
        (Figures(30, p99=0.4), False),
        (Figures(30, p99=1.7), True),
        (Figures(30), False),
    ],
)
def test_each_bound_counts_alone_and_the_unknown_excuses_nothing(figures, starved) -> None:
    assert bool(figures.starved) is starved


def answers(*seconds: float) -> list[Moment]:
    return [Moment(float(at), answered=took) for at, took in enumerate(seconds)]


def test_the_api_servers_percentile_is_not_told_from_a_few_answers() -> None:
    few = between(answers(0.01, *[3.0] * 15), 0.0, 15.0)
    assert (few.p99, few.answers) == (None, 15)
    quick = between(answers(*[0.02] * 60, 1.2), 0.0, 60.0)
    assert quick.p99 is not None
    assert quick.p99 < 1.0, "one slow answer of many is none"
    slow = between(answers(*[0.02] * 55, *[1.8] * 5), 0.0, 59.0)
    assert any(text.startswith("p99 1.80") for text in slow.starved)


def machine(proc: Path, *, some: int, stat: str, pressure: bool = True) -> Path:
    (proc / "pressure").mkdir(parents=True, exist_ok=True)
    for name in ("cpu", "memory", "io") if pressure else ():
        lines = f"some avg10=1.00 total={some}\nfull avg10=0.00 total={some // 10}\n"
        (proc / "pressure" / name).write_text(lines)
    (proc / "stat").write_text(f"{stat}\ncpu0 1 2 3\n")
    return proc


def test_the_kernels_counters_are_read(tmp_path: Path) -> None:
    machine(tmp_path, some=2_000_000, stat="cpu  100 0 50 800 10 0 0 40 7 0")
    counters = look(tmp_path)
    assert counters.stalled == {"cpu": 2.0, "memory": 0.2, "io": 0.2}
    assert (counters.stolen, counters.ticks) == (40, 1000)


def test_a_kernel_without_pressure_information_leaves_it_unknown(tmp_path: Path) -> None:
    machine(tmp_path, some=0, stat="cpu 1 2", pressure=False)
    watch = Watch(tmp_path, every=0.01)
    try:
        figures = watch.figures(0.0, 30.0)
    finally:
        watch.stop()
    assert (figures.cpu, figures.memory, figures.io, figures.steal) == (None,) * 4
    assert figures.starved == ()


def test_it_asks_the_api_server_and_survives_its_silence(tmp_path: Path) -> None:
    machine(tmp_path, some=0, stat="cpu  1 0 0 0 0 0 0 0")
    asked = threading.Semaphore(0)

    def refuses() -> None:
        asked.release()
        raise ConnectionRefusedError

    watch = Watch(tmp_path, every=0.001)
    watch.ask = refuses
    try:
        assert all(asked.acquire(timeout=10) for _ in range(3)), "it stopped asking"
        assert watch._answered() is None, "refused is no answer"
        watch.ask = asked.release
        assert (watch._answered() or 1.0) < starvation.P99
    finally:
        watch.stop()
