"""Property tests say what holds, not how fast: a slow machine must not turn one red.

And a machine of a test's own: its Docker, state and cache. Whether this run is CI's, or was started
by nohup or beside a shell, is no test's business: programs that tests start would inherit it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from infraforge.selftests import backend_world, stand_ins
from infraforge.selftests.fake_docker import FakeDocker

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

os.environ.pop("CI", None)
for _number, _handler in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture(scope="module")
def running() -> Iterator[backend_world.Server]:
    """A PostgreSQL server, of this module's tests alone."""
    with backend_world.server() as made:
        yield made


@pytest.fixture
def api() -> Iterator[stand_ins.Api]:
    """An API server that tells its version."""
    with stand_ins.serving() as made:
        yield made


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Docker and this machine's state and cache, all of the test's own."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")  # what is kept direct is not for other tests
    programs = tmp_path / "bin"
    programs.mkdir()
    made = FakeDocker(tmp_path)
    made.install(programs)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(made.path))
    return made


@pytest.fixture
def stopped(docker: FakeDocker) -> FakeDocker:
    """A platform that is known, whose node was stopped."""
    docker.add(
        stand_ins.NODE, "infraforge", status="exited", mounts=str(stand_ins.cluster_folder())
    )
    stand_ins.kubeconfig(stand_ins.DEAD)
    stand_ins.note()
    return docker


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch) -> stand_ins.StandUp:
    """A stand-up of a machine of the test's own."""
    return stand_ins.StandUp(monkeypatch)
