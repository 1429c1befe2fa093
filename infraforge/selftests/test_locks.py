"""Locks between real processes: who holds one, who is refused, and that no file is lost."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest

from infraforge import files, locks, stack
from infraforge.cluster import pki, state, users
from infraforge.cluster.users import Use
from infraforge.errors import UsageError
from infraforge.selftests.processes import other
from infraforge.turns import turn
from infraforge.wait import wait_until

HOLDS = """
import sys
from infraforge.cluster import state
with state.locked(sys.argv[1]):
    print("held", flush=True)
    input()
"""
USES = """
import sys
from infraforge.cluster.users import Use
use = Use(sys.argv[1], "pytest suites").join()
print("joined", flush=True)
input()
with use.last() as last:
    print(last, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))


def test_a_refused_second_process_does_not_let_a_third_in() -> None:
    """Who is refused must leave the first one's lock file where it is."""
    with other(HOLDS, "mine") as first:
        assert first.hears() == "held"
        for _ in range(2):
            with (
                pytest.raises(UsageError, match=f"changed by process {first.process.pid};"),
                state.locked("mine"),
            ):
                pass
            state.forget("mine")  # as `up` does for a cluster that did not come to be
    with state.locked("mine"):
        pass


def test_the_lock_of_a_killed_process_is_free() -> None:
    with other(HOLDS, "mine") as first:
        assert first.hears() == "held"
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        with state.locked("mine"):
            pass


def test_forgetting_removes_exactly_the_locks_that_nobody_holds(tmp_path: Path) -> None:
    with other(HOLDS, "mine") as first:
        first.hears()
        with state.healing("mine"), turn(state.locks_dir(), "mine", alone=False):
            pass
        with state.healing("other"):
            pass
        state.forget("mine")
        assert [path.name for path in state.locks_dir().iterdir()] == ["mine.lock", "other.heal"]
    state.forget("mine")
    state.forget("other")
    assert not (tmp_path / "state").exists()


def test_a_waiter_for_a_removed_lock_gets_one_that_others_see(tmp_path: Path) -> None:
    """Held and unlinked, waited for meanwhile: the waiter must not hold the unlinked file."""
    path = tmp_path / "x.lock"
    first = locks.take(path)
    waits = """
import sys
from pathlib import Path
from infraforge import locks
print("waits", flush=True)
with locks.held(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""
    with other(waits, str(path)) as waiter:
        assert waiter.hears() == "waits"
        wait_until(lambda: waiting_for_flock(waiter.process.pid), within=10)
        path.unlink()  # as its holder may
        first.close()
        assert waiter.hears() == "held"
        with pytest.raises(locks.Busy):
            locks.take(path, wait=False)


def waiting_for_flock(pid: int) -> bool:
    return any(
        "->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines()
    )


def compete(path: Path, counter: Path, times: int) -> None:
    for _ in range(times):
        with locks.held(path):
            counter.write_text(str(int(counter.read_text()) + 1))
        locks.remove(path)


def test_no_update_is_lost_while_many_take_and_remove_one_lock(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    crowd = [
        multiprocessing.get_context("fork").Process(
            target=compete, args=(tmp_path / "locks" / "x", counter, 200)
        )
        for _ in range(4)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert counter.read_text() == "800"


def test_only_the_last_user_of_a_platform_is_told_so() -> None:
    with other(USES, "mine") as first, other(USES, "mine") as second:
        assert (first.hears(), second.hears()) == ("joined", "joined")
        first.tell()
        assert first.hears() == "False"
        second.tell()
        assert second.hears() == "True"


def test_removal_of_a_used_platform_is_refused_naming_its_users() -> None:
    with other(USES, "mine") as run:
        run.hears()
        told = rf"in use by process {run.process.pid} \(pytest suites, since .*\); wait for it"
        with pytest.raises(UsageError, match=told), Use("mine", "infraforge down").alone():
            pass
        run.process.kill()
        run.process.wait()
        with Use("mine", "infraforge down").alone():
            assert users.within("mine")
            assert not users.under("mine"), "it holds the platform itself"
    assert not users.within("mine")


def test_nobody_begins_on_a_platform_that_is_being_removed_or_broken() -> None:
    with other(USES, "mine") as run:
        run.hears()
        run.tell()
        assert run.hears() == "True"
        with pytest.raises(UsageError, match=f"in use by process {run.process.pid}.*removing it"):
            Use("mine", "pytest").join()
    Use("mine", "pytest").join().leave()


def test_a_child_of_the_process_that_holds_a_platform_may_use_it() -> None:
    """The tests that a sabotage starts."""
    with Use("mine", "infraforge sabotage").join().alone(), other(USES, "mine") as child:
        assert child.hears() == "joined"
        child.tell()
        assert child.hears() == "False"  # and never removes it


def test_a_run_refused_exclusive_use_keeps_its_shared_use() -> None:
    use = Use("mine", "infraforge test").join()
    with other(USES, "mine") as run:
        run.hears()
        with pytest.raises(UsageError, match="pytest suites"), use.alone():
            pass
        assert len(users.used_by("mine")) == 2
    use.leave()
    assert users.used_by("mine") == []


def test_what_a_machine_shares_is_not_removed_while_somebody_uses_it() -> None:
    builds = """
from infraforge.cluster import state
with state.sharing_machine():
    print("builds", flush=True)
    input()
"""
    authority = stack.registry_authority()
    with other(builds) as builder, state.sharing_machine():
        assert builder.hears() == "builds"
        assert stack.remove_shared() == []
        assert authority.ca_file.exists()
    assert stack.remove_shared() == [f"files in {state.registry_ca_dir()}"]


def test_a_name_that_collides_with_another_lock_is_refused() -> None:
    for name in ("_machine", "_chromium", "../x", "a.lock"):
        with pytest.raises(UsageError), state.locked(name):
            pass
        with pytest.raises(UsageError):
            Use(name, "pytest").join()


def rewrite(path: Path, letter: str) -> None:
    for _ in range(100):
        pki.write_private(path, letter * 50_000)


def test_a_file_with_concurrent_writers_is_always_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    pki.write_private(path, "a" * 50_000)
    crowd = [
        multiprocessing.get_context("fork").Process(target=rewrite, args=(path, letter))
        for letter in "abcd"
    ]
    for one in crowd:
        one.start()
    while any(one.is_alive() for one in crowd):
        seen = path.read_text()
        assert len(seen) == 50_000
        assert len(set(seen)) == 1
    assert [one.exitcode for one in crowd] == [0, 0, 0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "note"
    files.replace(path, "old")
    monkeypatch.setattr("infraforge.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.replace(path, "new")
    with pytest.raises(ZeroDivisionError), files.aside(path) as aside:
        aside.write_text(str(1 / 0))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["note"]
