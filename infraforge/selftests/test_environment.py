"""What doctor reports of a machine that lacks something; a build reports the same at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infraforge import doctor, environment
from infraforge.cluster.docker_cli import docker
from infraforge.environment import Machine
from infraforge.errors import ClusterError, UsageError
from infraforge.images import build, debian, disk
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile
from infraforge.stack import TREE


def machine(**differs: object) -> Machine:
    """A machine on which everything fits, but for what differs."""
    fits: dict[str, object] = {
        "system": "Debian",
        "kernel": "6.1",
        "cores": 8,
        "memory_gib": 64.0,
        "free_gib": 60.0,
        "disk_gb": 500.0,
        "docker": "26.1.5",
        "cgroup": "v2",
        "capabilities_missing": (),
        "abilities": {},
        "registries": {},
        "missing": {},
    }
    return Machine(**{**fits, **differs})  # type: ignore[arg-type]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, and folders of the test's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    return folder


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize(
    ("differs", "takes_root", "lacks"),
    [
        ({}, True, ()),
        ({"root": "sudo"}, True, ()),
        ({"root": ""}, False, ()),
        ({"root": ""}, True, (debian.NO_ROOT,)),
        ({"docker": "", "docker_trouble": "may not"}, False, ("may not",)),
        ({"unwritable": {"/cache": "is no folder"}}, False, ("/cache: is no folder",)),
    ],
)
def test_reasons_against_a_profile_are_named(
    differs: dict[str, object], takes_root: bool, lacks: tuple[str, ...]
) -> None:
    fit = machine(**differs).fit(Profile.load("minimal", TREE), takes_root=takes_root)
    assert fit.lacks == lacks
    assert fit.fits is not bool(lacks)


def test_sudo_without_password_gives_root(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_user(monkeypatch)
    assert debian.as_root() is None
    program(programs, "sudo", "exit 1")  # it wants a password
    assert debian.as_root() is None
    program(programs, "sudo", "exit 0")
    assert (debian.as_root() or [])[:2] == ["sudo", "-n"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert debian.as_root() == []


def test_sudo_keeps_the_proxy_by_variable_name_not_as_argument(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on the machine reads arguments."""
    a_user(monkeypatch)
    program(programs, "sudo", "exit 0")
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy")
    said = " ".join(debian.as_root() or [])
    assert "http_proxy" in said
    assert "secret" not in said


def test_a_build_without_root_is_refused_before_anything_is_begun(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was, once what had begun beside it had been compiled: after minutes."""
    a_user(monkeypatch)
    program(programs, "docker", "exit 0")
    begun: list[str] = []
    monkeypatch.setattr(disk, "check_room", lambda *_: None)
    monkeypatch.setattr(build, "_build_all", lambda *_: begun.append("build"))
    with pytest.raises(UsageError, match="needs root"):
        build.build(["vault", "base-trixie"], Catalogue.load(TREE))
    assert not begun


def test_doctor_says_the_same(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_user(monkeypatch)
    program(programs, "docker", "exit 0")
    monkeypatch.setattr(environment, "_reached", lambda _: False)
    assert doctor.run(TREE, as_json=False) == 64
    assert debian.NO_ROOT in capsys.readouterr().out


def test_doctor_names_the_largest_that_fits_and_the_quickest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = [environment.Fit(name, True, ()) for name in ("minimal", "standard")]
    monkeypatch.setattr(environment, "fits", lambda *_: fits)
    doctor.run(TREE, as_json=False)
    said = capsys.readouterr().out
    assert "standard (the largest that fits); go on with: ./bootstrap tox -e standard" in said
    assert "for a first look: ./bootstrap tox -e minimal" in said
    del fits[1]
    doctor.run(TREE, as_json=False)
    assert "first look" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        ("echo 26.1.5", ""),
        ("echo 'Cannot connect to the Docker daemon at x' >&2; exit 1", "no Docker daemon"),
        ("echo 'permission denied while trying to connect to the Docker' >&2; exit 1", "may not"),
        ("echo odd >&2; exit 1", "no Docker daemon answers"),
        (None, "docker is missing"),
    ],
)
def test_the_reason_why_docker_does_not_answer_is_named(
    programs: Path, body: str | None, trouble: str
) -> None:
    if body is not None:
        program(programs, "docker", body)
    version, why = environment._docker()
    assert bool(version) is not bool(trouble)
    assert trouble in why


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    odd, fine = tmp_path / "file" / "cache", tmp_path / "not" / "yet"
    assert environment._unwritable(odd, fine) == {str(odd): f"{tmp_path / 'file'} is not a folder"}


def test_a_daemon_that_stops_half_way_is_the_machines_fault(programs: Path) -> None:
    program(programs, "docker", "echo 'Cannot connect to the Docker daemon at x' >&2; exit 1")
    with pytest.raises(UsageError, match="no Docker daemon answers"):
        docker("ps")
    program(programs, "docker", "echo 'no such container' >&2; exit 1")
    with pytest.raises(ClusterError, match="no such container"):
        docker("ps")


def test_files_made_by_root_belong_to_the_calling_user(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """debootstrap's tree is packed and gone, whatever happens; the archive is the user's."""
    recipe = TREE / "images" / "debian"
    made = 'mkdir -p "$5/etc/apt/sources.list.d" "$5/etc/apt/apt.conf.d" "$5/etc/dpkg/dpkg.cfg.d"'
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    program(programs, "debootstrap", made)
    for code, there in ((0, True), (7, False)):
        program(programs, "tar", f'[ {code} = 0 ] && echo x >"$4"; exit {code}')
        argv = [sys.executable, "-m", "infraforge.images.rooted", "trixie", "archive"]
        argv += [f"--recipe={recipe}", f"--tree={tmp_path / 'root'}"]
        argv += [f"--archive={tmp_path / 'a.tar'}", f"--owner={os.getuid()}:{os.getgid()}"]
        done = subprocess.run(argv, cwd=TREE.parent, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert (tmp_path / "a.tar").exists() is there
        assert not (tmp_path / "root").exists()
        (tmp_path / "a.tar").unlink(missing_ok=True)
