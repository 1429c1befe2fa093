"""Signals to real processes: the first ends the work, none disturbs the clean-up."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.selftests.processes import ROOT, other
from infraforge.wait import wait_until

WORKS = """
import sys, time
from pathlib import Path
from infraforge import cli, interrupts, running

place = Path(sys.argv[1])

def run(options):
    made = place / "made"
    made.write_text("x")
    try:
        print("works", flush=True)
        time.sleep(60)
    finally:
        with interrupts.undisturbed():
            print("tidies", flush=True)
            time.sleep(1.0)
            print("still tidies", flush=True)
            made.unlink()

running.run = run
sys.exit(cli.main(["test", "--profile", "minimal"]))
"""
"""`infraforge test` with a stand-in for what it does."""

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
names = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


@names
def test_each_signal_ends_the_work_and_what_was_made_is_removed(
    tmp_path: Path, number: signal.Signals
) -> None:
    with other(WORKS, str(tmp_path), stderr=subprocess.DEVNULL) as one:
        assert one.hears() == "works"
        one.process.send_signal(number)
        assert one.process.wait(10) == 130
    assert list(tmp_path.iterdir()) == []


@names
def test_further_signals_do_not_disturb_the_clean_up(
    tmp_path: Path, number: signal.Signals
) -> None:
    with other(WORKS, str(tmp_path), stderr=subprocess.DEVNULL) as one:
        assert one.hears() == "works"
        for again in (number, *SIGNALS):
            one.process.send_signal(again)
        assert one.process.wait(10) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_closed_terminal_does_not_prevent_the_clean_up(tmp_path: Path) -> None:
    """SIGHUP comes because nobody is there any more: what is said then fails."""
    main, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORKS, str(tmp_path)],
        cwd=ROOT,
        # its trace is nobody's but this test's
        env={**os.environ, "INFRAFORGE_STATE": f"{tmp_path}-state"},
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    wait_until((tmp_path / "made").exists, within=20)
    os.close(main)
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_hang_up_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    with other(
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WORKS,
        str(tmp_path),
        stderr=subprocess.DEVNULL,
    ) as one:
        assert one.hears() == "works"
        one.process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            one.process.wait(0.5)
        assert (tmp_path / "made").exists()


def test_children_get_the_signal_but_not_during_clean_up() -> None:
    """As Ctrl-C on a terminal tells them: a build must not go on without who asked for it."""
    script = """
import subprocess, sys
from infraforge import interrupts
sleeps = "import time; print(1, flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", sleeps], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
child.stdout.readline()
with interrupts.heeded():
    try:
        print("works", flush=True)
        child.wait()
        child.wait(60)
    except KeyboardInterrupt:
        print(child.wait(10), flush=True)
"""
    with other(script) as one:
        assert one.hears() == "works"
        one.process.send_signal(signal.SIGTERM)
        assert one.hears() == str(-signal.SIGINT)


def test_a_signal_within_an_undisturbed_block_comes_at_its_end() -> None:
    script = """
import time
from infraforge import interrupts
with interrupts.heeded():
    try:
        with interrupts.undisturbed():
            print("inside", flush=True)
            time.sleep(0.5)
            print("whole", flush=True)
        print("never", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
    with other(script) as one:
        assert one.hears() == "inside"
        one.process.send_signal(signal.SIGTERM)
        assert [one.hears(), one.hears()] == ["whole", "interrupted"]


def test_the_callers_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    from infraforge.cli import main  # noqa: PLC0415 - with all that the command line brings

    main(["sabotage", "--list"])
    assert [signal.getsignal(number) for number in SIGNALS] == before


TOX = shutil.which("tox") or next(
    (str(path) for path in sorted((Path.home() / ".cache/infraforge/bootstrap").glob("*/bin/tox"))),
    None,
)


@pytest.fixture(scope="module")
def tox_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose only environment runs the stand-in, with the time-outs of the real one."""
    if TOX is None:
        pytest.skip("tox is not on the PATH; ./bootstrap brings it")
    folder = tmp_path_factory.mktemp("tox")
    (folder / "work.py").write_text(WORKS)
    real = (ROOT / "tox.ini").read_text()
    settings = re.findall(r"^(?:suicide|interrupt|terminate)_timeout = .*$", real, re.MULTILINE)
    lines = [
        "[tox]\nskipsdist = true\n[testenv:one]\nskip_install = true",
        f"allowlist_externals = {sys.executable}",
        f"set_env =\n    PYTHONPATH = {ROOT}",
        *settings,
        f"commands = {sys.executable} {folder / 'work.py'} {folder / 'place'}",
    ]
    (folder / "tox.ini").write_text("\n".join(lines) + "\n")
    made = [TOX, "run", "-e", "one", "--notest"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True, timeout=120)
    return folder


@contextlib.contextmanager
def under_tox(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """tox at work; its process group is its own, as on a terminal."""
    (folder / "place").mkdir(exist_ok=True)
    assert TOX
    process = subprocess.Popen(
        [TOX, "run", "-e", "one"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_until((folder / "place" / "made").exists, within=60)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("whole_group", [True, False], ids=["as a terminal does", "to tox alone"])
def test_ctrl_c_on_tox_leaves_nothing(tox_folder: Path, whole_group: bool) -> None:
    with under_tox(tox_folder) as process:
        began = time.monotonic()
        if whole_group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert time.monotonic() - began >= 1.0  # the tidying up was waited for
        assert process.returncode != 0
        assert list((tox_folder / "place").iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS[1:], ids=lambda number: number.name)
@pytest.mark.parametrize("whole_group", [True, False], ids=["to its group", "to tox alone"])
def test_tox_that_is_ended_takes_its_command_along(
    tox_folder: Path, number: signal.Signals, whole_group: bool
) -> None:
    """tox itself dies of these at once: its command sees that, and removes what it made."""
    with under_tox(tox_folder) as process:
        if whole_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(30)
        wait_until(lambda: not list((tox_folder / "place").iterdir()), within=20)
