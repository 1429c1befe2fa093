"""The beginning and end of a run, with pytest in processes of its own and a platform of files.

The stand-in platform is up while there is a note of it; what is broken of it is a file each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infraforge.cluster import state
from infraforge.faults.journal import Entry, Journal, Owner
from infraforge.note import Note
from infraforge.processes import Identity
from infraforge.profile import Ports
from infraforge.sabotage.experiment import JOURNAL
from infraforge.selftests.processes import ROOT, other
from infraforge.wait import wait_until

NAME = "mine"
OPEN = "found the way in open"
FAKE = '''
"""Stands in for the cluster: `stack` on files."""
import os, shutil, sys, time
from pathlib import Path
from types import SimpleNamespace
from infraforge import faults, stack
from infraforge.sabotage import experiment
from infraforge.cluster import state
from infraforge.errors import ClusterError, UsageError
from infraforge.note import Note
from infraforge.profile import Ports, Profile

WORLD = Path(os.environ["WORLD"])

def say(what):
    with (WORLD / "log").open("a") as log:
        log.write(what + "\\n")

class Mend:
    kind = "mend"
    def __init__(self, name): self.name = name
    @property
    def parameters(self): return {"name": self.name}
    @classmethod
    def restored(cls, parameters): return cls(parameters["name"])
    def perform(self, site):
        if (WORLD / "stubborn").exists():
            raise KeyError("stubborn")
        (WORLD / "broken" / self.name).unlink(missing_ok=True)
        say(f"mended {self.name}")

class Break:
    lasting = True
    def __init__(self, name): self.name = name
    def describe(self): return f"break {self.name}"
    def aim(self, site): return self
    @property
    def undo(self): return Mend(self.name)
    def strike(self, site): (WORLD / "broken" / self.name).touch()
    def took_effect(self, site): return str((WORLD / "broken" / self.name).exists())

faults.UNDOS["mend"] = Mend

def is_up(name, tree=None):
    if (WORLD / "slow").exists():  # an API server that does not answer in time
        return False
    return Note.read(name) is not None

def attach(name, tree=None):
    if Note.read(name) is None:
        raise UsageError(f"no platform {name!r} is up")
    cluster = SimpleNamespace(name=name, api=None)
    site = SimpleNamespace(cluster=cluster, close=lambda: None)
    site.profile = Profile.load("minimal", stack.TREE)
    return stack.Platform(site, {})

def stand_up(name, profile, progress=None, *, keep=True, images="auto", renew=()):
    with state.locked(name):
        found = Note.read(name)
        if found is None:
            say("made")
        keep = keep or bool(found and found.keep)
        Note(profile.name, Ports(1, 2), "", {}, {}, keep).write(name)
    return attach(name)

def remove(cluster):
    say("removed")
    shutil.rmtree(state.cluster_dir(cluster.name))
    return ["the platform"]

from infraforge.sabotage import command as sabotage
sabotage.Trial.of_all = lambda self, groups: say("sabotages") or {}

stack.is_up, stack.attach, stack.stand_up = is_up, attach, stand_up
stack.down.remove = remove
stack.Platform.wait_open = lambda self, progress=None: say("found the way in open")

def heal_sabotage(name):
    (state.cluster_dir(name) / experiment.JOURNAL).unlink(missing_ok=True)
    say("undid the sabotage")
    return ["the sabotage"]

experiment.heal = heal_sabotage
'''
CONFTEST = """
import fake
pytest_plugins = ["infraforge.plugin"]
"""
FINE = "def test_fine():\n    pass\n"
JUDGES = """
from fake import WORLD

def test_nothing_is_broken(platform):
    assert list((WORLD / "broken").iterdir()) == []
"""
BREAKS = """
import os, signal, time, pytest
from fake import WORLD, Break

@pytest.mark.exclusive
def test_break(nemesis):
    nemesis.inject(Break("disk"))
    (WORLD / "struck").touch()
    time.sleep(float(os.environ.get("LASTS", "0")))
"""


class World:
    """The folder of one stand-in platform, and runs against it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {
            **os.environ,
            "WORLD": str(folder),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        }

    @property
    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    @property
    def broken(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "broken").iterdir())

    def suite(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / "suites" / f"test_{name}.py").write_text(text)

    def up(self, *, keep: bool) -> None:
        Note("minimal", Ports(1, 2), "", {}, {}, keep).write(NAME)

    def left(self, fault: str, owner: Owner) -> None:
        (self.folder / "broken" / fault).touch()
        Journal.of(NAME).add(Entry("mend", {"name": fault}, f"break {fault}", owner=owner))

    def begin(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:locust"]
        command += ["-p", "no:schemathesis", f"--cluster-name={NAME}", *(argv or ("suites",))]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *argv: str, **environment: str) -> tuple[int, str]:
        process = self.begin(*argv, **environment)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def breaking(self, *argv: str) -> subprocess.Popen[str]:
        """A run that is in the middle of a fault, and would stay there for a minute."""
        (self.folder / "struck").unlink(missing_ok=True)
        process = self.begin(*argv, LASTS="60")
        wait_until(lambda: (self.folder / "struck").exists() or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()[0]
        assert self.broken == ["disk"]
        return process


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "INFRAFORGE_HELD"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "checkout"
    for part in ("suites", "chaos", "broken"):
        (folder / part).mkdir(parents=True)
    (folder / "fake.py").write_text(FAKE)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    return World(folder)


def in_journal() -> list[str]:
    return [entry.fault for entry in Journal.of(NAME).read().entries]


def dead() -> Owner:
    """The owner that a killed run was."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return Owner(Identity(process.pid, 1, "another boot"), "", "suites/x.py::test_killed")


# --- the end of a run: what stays and what goes -------------------------------------------------


def test_a_run_removes_what_it_stood_up(world: World) -> None:
    world.suite(fine=FINE)
    world.run("suites", "--profile=minimal")
    assert world.log == ["made", "removed"]
    assert not state.state_dir().exists()


def test_a_run_never_removes_what_was_stood_up_to_stay(world: World) -> None:
    """However slow the API server is when the run begins."""
    world.up(keep=True)
    world.suite(fine=FINE)
    (world.folder / "slow").touch()
    world.run("suites", "--profile=minimal")
    assert world.log == []
    assert Note.read(NAME)


def test_keep_cluster_has_a_platform_stay_that_was_not_to(world: World) -> None:
    world.up(keep=False)
    world.suite(fine=FINE)
    world.run("suites", "--profile=minimal", "--keep-cluster")
    assert world.log == []
    world.run("suites", "--profile=minimal")
    assert world.log == []


def test_a_platform_made_to_stay_while_a_run_uses_it_stays(world: World) -> None:
    """`up` during a run: what was true as the run began counts for nothing at its end."""
    late = """
from infraforge import stack
def test_up_comes(platform):
    stack.keep("mine")
"""
    world.suite(late=late)
    world.run("suites", "--profile=minimal")
    assert world.log == ["made"]


USES = """
from infraforge.cluster.users import Use
use = Use("mine", "another run").join()
print("joined", flush=True)
input()
"""


def test_a_run_that_ends_leaves_the_platform_to_another_that_uses_it(world: World) -> None:
    world.suite(fine=FINE)
    with other(USES) as user:
        assert user.hears() == "joined"
        world.run("suites", "--profile=minimal")
        assert world.log == ["made"]
    world.run("suites")  # the last one, though it did not make it
    assert world.log == ["made", "removed"]


def test_a_run_is_refused_while_the_platform_is_another_ones_to_break(world: World) -> None:
    world.up(keep=True)
    world.suite(fine=FINE)
    alone = """
from infraforge.cluster.users import Use
with Use("mine", "infraforge sabotage").join().alone():
    print("alone", flush=True)
    input()
"""
    with other(alone) as breaker:
        assert breaker.hears() == "alone"
        code, said = world.run()
        assert code == 64
        assert f"in use by process {breaker.process.pid} (infraforge sabotage" in said


def test_collecting_touches_nothing(world: World) -> None:
    world.suite(fine=FINE)
    world.run("suites", "--profile=minimal", "--collect-only")
    assert world.log == []


# --- the beginning of a run and of a test: what was left open -----------------------------------


def test_a_run_heals_first_and_says_so(world: World) -> None:
    world.up(keep=True)
    world.left("disk", dead())
    world.suite(judges=JUDGES)
    code, said = world.run()
    assert "undone, left by a run before: break disk" in said
    assert "1 passed" in said
    assert world.log == ["mended disk", OPEN]
    assert in_journal() == []
    assert code != 1


def test_a_run_undoes_a_sabotage_that_was_left_behind(world: World) -> None:
    world.up(keep=True)
    (state.cluster_dir(NAME) / JOURNAL).write_text('{"sabotage": "any-password"}')
    world.suite(judges=JUDGES)
    _code, said = world.run()
    assert world.log == ["undid the sabotage"]
    assert "undone, left by a run before: the sabotage" in said


def test_a_run_that_cannot_heal_says_unknown_and_judges_nothing(world: World) -> None:
    world.up(keep=True)
    world.left("disk", dead())
    (world.folder / "stubborn").touch()
    world.suite(judges=JUDGES)
    code, said = world.run()
    assert code == 2
    assert "break disk: KeyError: 'stubborn'" in said
    assert "failed" not in said
    assert world.broken == ["disk"]


def test_a_run_judges_no_platform_whose_ca_is_half_replaced(world: World) -> None:
    world.up(keep=True)
    (state.cluster_dir(NAME) / "ca").mkdir()
    (state.cluster_dir(NAME) / "ca" / "rotation").write_text("issue")
    world.suite(judges=JUDGES)
    code, said = world.run()
    assert code == 2
    assert f"infraforge certificates renew --ca --name {NAME}" in said
    assert "passed" not in said


def test_a_fault_of_a_run_that_lives_is_left_alone_until_its_turn_is_over(world: World) -> None:
    """Its test holds the turn: this run's tests wait, and then nothing is broken any more."""
    world.up(keep=True)
    world.suite(judges=JUDGES, breaks=BREAKS)
    first = world.breaking("suites/test_breaks.py")
    second = world.begin("suites/test_judges.py")
    try:
        wait_until(lambda: waits_for_turn(second.pid), within=60)
        assert in_journal() == ["break disk"]
        assert world.log == []
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)
        said, _ = second.communicate(timeout=60)
    finally:
        first.kill()
        second.kill()
    assert "1 passed" in said
    assert world.log == ["mended disk"]


def waits_for_turn(pid: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGTERM, ()), (signal.SIGHUP, ()), (signal.SIGTERM, ("-n", "1"))],
    ids=["SIGTERM", "SIGHUP", "SIGTERM with xdist"],
)
def test_a_run_that_is_ended_in_a_fault_undoes_it(
    world: World, number: signal.Signals, workers: tuple[str, ...]
) -> None:
    world.up(keep=True)
    world.suite(breaks=BREAKS)
    process = world.breaking("suites", *workers)
    for _ in range(3):
        process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert world.broken == []
    assert in_journal() == []


def test_a_run_that_is_killed_in_a_fault_is_healed_by_the_next(world: World) -> None:
    world.up(keep=True)
    world.suite(breaks=BREAKS, judges=JUDGES)
    process = world.breaking("suites/test_breaks.py")
    process.kill()
    process.communicate()
    assert in_journal() == ["break disk"]
    _code, said = world.run("suites/test_judges.py")
    assert "1 passed" in said
    assert world.log == ["mended disk", OPEN]


DIES = """
import os, pytest
from fake import WORLD, Break

@pytest.mark.exclusive
def test_a_worker_dies(nemesis):
    nemesis.inject(Break("disk"))
    os.kill(os.getpid(), 9)

@pytest.mark.exclusive
@pytest.mark.parametrize("number", range(3))
def test_judge(platform, number):
    assert list((WORLD / "broken").iterdir()) == []
"""


def test_after_a_worker_that_died_in_a_fault_the_next_test_begins_healed(world: World) -> None:
    world.up(keep=True)
    world.suite(dies=DIES)
    code, said = world.run("suites", "-n", "1", "--max-worker-restart=1")
    assert "3 passed" in said
    assert "undone, left by a test before: break disk" in said
    assert code == 2  # what the dead one was to find out is not known
    assert in_journal() == []


def test_where_that_cannot_be_healed_the_next_tests_are_unknown(world: World) -> None:
    world.up(keep=True)
    (world.folder / "stubborn").touch()
    world.suite(dies=DIES)
    code, said = world.run("suites", "-n", "1", "--max-worker-restart=1")
    assert code == 2
    assert "3 errors" in said
    assert "a fault is open and could not be undone: break disk" in said
    assert in_journal() == ["break disk"]


HEAL_FAILS = """
import pytest
from fake import WORLD, Break

@pytest.mark.exclusive
def test_a(nemesis):
    nemesis.inject(Break("disk"))
    (WORLD / "stubborn").touch()

@pytest.mark.exclusive
def test_b(platform):
    assert list((WORLD / "broken").iterdir()) == []

@pytest.mark.exclusive
def test_c(platform):
    assert list((WORLD / "broken").iterdir()) == []
"""


def test_after_a_heal_that_failed_the_next_tests_are_unknown_not_broken(world: World) -> None:
    world.up(keep=True)
    world.suite(heal_fails=HEAL_FAILS)
    code, said = world.run()
    assert code == 2
    assert "1 passed" in said
    assert "3 errors" in said  # one more than tests: the heal that failed is one itself
    assert "0 broken" in said
    assert in_journal() == ["break disk"]


def test_only_a_test_that_is_alone_may_break_the_platform(world: World) -> None:
    world.up(keep=True)
    world.suite(shares=BREAKS.replace("@pytest.mark.exclusive", ""))
    code, said = world.run()
    assert code == 2
    assert "mark it exclusive" in said
    assert in_journal() == []


# --- by hand ------------------------------------------------------------------------------------

CLI = "import fake, sys; from infraforge.cli import main; sys.exit(main(sys.argv[1:]))"


def cli(world: World, *argv: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", CLI, *argv],
        cwd=world.folder,
        env=world.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_up_heals_faults_as_it_heals_sabotages(world: World) -> None:
    world.up(keep=True)
    world.left("disk", dead())
    _code, said = cli(world, "up", "--name", NAME, "--profile", "minimal")
    assert "undone: break disk" in said
    assert world.broken == []


def test_down_is_refused_while_a_run_uses_the_platform(world: World) -> None:
    world.up(keep=True)
    with other(USES) as user:
        user.hears()
        code, said = cli(world, "down", "--name", NAME)
        assert code == 64
        assert f"in use by process {user.process.pid} (another run" in said
        assert world.log == []
        code, said = cli(world, "down", "--name", NAME, "--force")
        assert code == 0
    assert world.log == ["removed"]


def test_sabotages_are_tried_on_a_platform_that_nobody_else_uses(world: World) -> None:
    """From nothing they stand one up and remove it; one that was to stay stays, however slow."""
    argv = ("sabotage", "any-password", "--name", NAME)
    cli(world, *argv)
    assert world.log == ["made", "sabotages", "removed"]
    (world.folder / "log").unlink()
    world.up(keep=True)
    (world.folder / "slow").touch()
    cli(world, *argv)
    assert world.log == ["sabotages"]
    with other(USES) as user:
        user.hears()
        code, said = cli(world, *argv)
    assert code == 64
    assert f"in use by process {user.process.pid} (another run" in said
    assert world.log == ["sabotages"]


@pytest.mark.parametrize("is_up", [True, False])
def test_a_sabotage_is_refused_before_anything_is_done(world: World, is_up: bool) -> None:
    """While others use the platform nothing is healed, nor stood up anew, nor reconciled."""
    if is_up:
        world.up(keep=True)
        world.left("disk", dead())
        (state.cluster_dir(NAME) / JOURNAL).write_text('{"sabotage": "any-password"}')
    with other(USES) as user:
        user.hears()
        code, said = cli(world, "sabotage", "any-password", "--name", NAME)
    assert (code, world.log) == (64, []), said
    assert "undone" not in said
    assert (state.cluster_dir(NAME) / JOURNAL).exists() is is_up


def test_a_sabotage_heals_what_a_killed_one_left(world: World) -> None:
    """It holds the platform alone itself, so what is broken is not another's to heal."""
    world.up(keep=True)
    world.left("disk", dead())
    (state.cluster_dir(NAME) / JOURNAL).write_text('{"sabotage": "any-password"}')
    cli(world, "sabotage", "any-password", "--name", NAME)
    assert world.log == ["undid the sabotage", "mended disk", OPEN, "sabotages"]
    assert world.broken == []


def test_heal_leaves_the_fault_of_a_live_test_to_it(world: World) -> None:
    world.up(keep=True)
    world.suite(breaks=BREAKS)
    run = world.breaking()
    try:
        world.left("older", dead())
        code, said = cli(world, "heal", "--name", NAME)
        assert code == 2
        assert "faults of a running test" in said
        assert "suites/test_breaks.py::test_break" in said
        assert world.broken == ["disk"]
    finally:
        run.kill()
        run.communicate()
    code, said = cli(world, "heal", "--name", NAME)
    assert (code, world.broken) == (0, [])
    assert "undone: break disk" in said


def test_heal_takes_the_lock(world: World) -> None:
    world.up(keep=True)
    holds = """
from infraforge.cluster import state
with state.locked("mine"):
    print("held", flush=True)
    input()
"""
    with other(holds) as changer:
        changer.hears()
        code, said = cli(world, "heal", "--name", NAME)
        assert code == 64
        assert f"being changed by process {changer.process.pid}" in said
