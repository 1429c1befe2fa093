"""`./bootstrap` on a machine of stand-ins: its own failures end with 64, COMMAND's code passes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg compares the versions")

NEEDED = ("npm", "iptables", "ip", "debootstrap", "patch", "skopeo", "git")
NEEDED += ("chromium", "chromedriver", "certutil")
STUBS = {
    "dockerd": 'echo "Docker version 26.1.5, build x"',
    "go": "echo go1.24.1",
    "node": "echo v22.20.0",
    "docker": """
if [ "$1" = version ] && [ -n "${REFUSED:-}" ] && [ -z "${INFRAFORGE_JOINED:-}${ALWAYS:-}" ]; then
  echo "permission denied while trying to connect to the Docker daemon socket" >&2
  exit 1
fi""",
    "python3": """
[ "$1" = -m ] || exit 0
[ -z "${NO_VENV:-}" ] || { echo "no venv" >&2; exit 1; }
mkdir -p "$3/bin"
printf '#!/bin/sh\\nsleep ${PIP_SECONDS:-0}\\nexit ${PIP_CODE:-0}\\n' >"$3/bin/pip"
chmod +x "$3/bin/pip"
""",
    "sudo": 'echo "sudo $*" >>"$LOG"; exit ${SUDO_CODE:-0}',
    "sg": 'echo "sg $1" >>"$LOG"; exec sh -c "$3"',
    **dict.fromkeys(NEEDED, ""),
}
A_USER = """
case $1 in
  -u) echo 1000 ;;
  -un) echo me ;;
  -nG) echo "me ${GROUPS_OF_ME:-}" ;;
esac"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a checkout's bootstrap, and programs that stand in for a machine's."""
    shutil.copy(ROOT / "bootstrap", tmp_path / "bootstrap")
    (tmp_path / "pyproject.toml").write_text("")
    os.utime(tmp_path / "pyproject.toml", (0, 0))
    (tmp_path / "bin").mkdir()
    for name, body in STUBS.items():
        stub(tmp_path, name, body)
    return tmp_path


def stub(machine: Path, name: str, body: str) -> None:
    path = machine / "bin" / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def environment(machine: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run; what is empty in `more` is not set."""
    chosen = {
        "PATH": f"{machine / 'bin'}:/usr/bin:/bin",
        "HOME": str(machine / "home"),
        "LOG": str(machine / "log"),
        **more,
    }
    return {name: value for name, value in chosen.items() if value}


def run(machine: Path, *argv: str, **more: str) -> tuple[int, str]:
    """Exit code and all that was said."""
    done = subprocess.run(
        [str(machine / "bootstrap"), *argv],
        env=environment(machine, more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("code", [0, 1, 2, 3, 64, 77])
def test_the_commands_own_code_passes_through(machine: Path, code: int) -> None:
    assert run(machine, "bash", "-c", f"exit {code}")[0] == code


def test_usage_is_64_and_help_is_0(machine: Path) -> None:
    assert run(machine)[0] == 64
    assert run(machine, "--help")[0] == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"PIP_CODE": "1"}, "pip install"),
        ({"PIP_CODE": "2"}, "pip install"),
        ({"NO_VENV": "yes"}, "python3 -m venv"),
        ({"INFRAFORGE_CACHE": "/dev/null/cache"}, "INFRAFORGE_CACHE"),
        ({"HOME": "/dev/null"}, "INFRAFORGE_CACHE"),
    ],
)
def test_a_failure_of_its_own_is_64_and_named(
    machine: Path, more: Mapping[str, str], told: str
) -> None:
    """Whatever `set -e` stops at: 1 would say that a property is broken."""
    code, said = run(machine, "true", **more)
    assert code == 64
    assert told in said


@pytest.mark.parametrize("command", ["no-such-command", "usage", "cd", "/nosuch/tox"])
def test_an_unknown_command_is_64(machine: Path, command: str) -> None:
    code, said = run(machine, command)
    assert code == 64
    assert f"command not found: {command}" in said


def test_without_home_in_the_environment_it_is_looked_up(machine: Path) -> None:
    """`set -u` ended that with 1."""
    code, said = run(machine, "true", HOME="", INFRAFORGE_CACHE=str(machine / "cache"))
    assert (code, "unbound" in said) == (0, False)


def test_a_step_that_failed_half_way_is_repeated(machine: Path) -> None:
    assert run(machine, "true", PIP_CODE="1")[0] == 64
    assert run(machine, "true")[0] == 0


def test_concurrent_runs_take_turns(machine: Path) -> None:
    first = subprocess.Popen(
        [str(machine / "bootstrap"), "true"],
        env=environment(machine, {"PIP_SECONDS": "2"}),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stderr is not None
    assert "preparing" in first.stderr.readline()
    code, said = run(machine, "true")
    assert first.poll() == 0, "the second did not wait for the first"
    first.stderr.close()
    assert code == 0
    assert "waiting for another" in said
    assert "preparing" not in said


def test_the_command_does_not_inherit_its_lock(machine: Path) -> None:
    """Else the next one would wait for as long as this COMMAND runs."""
    began = time.monotonic()
    assert run(machine, str(machine / "bootstrap"), "true")[0] == 0
    assert time.monotonic() - began < 30


def test_a_user_who_may_not_use_docker_joins_its_group(machine: Path) -> None:
    """And the COMMAND runs in that group at once, its words as they were."""
    stub(machine, "id", A_USER)
    odd = 'it\'s; $HOME "x" \\'
    code, said = run(machine, "printf", "%s|", odd, "", REFUSED="yes")
    assert code == 0, said
    assert said.startswith(f"{odd}||")
    lines = (machine / "log").read_text().splitlines()
    assert lines == ["sudo usermod --append --groups docker me", "sg docker"]


def test_a_member_of_the_group_is_not_put_there_again(machine: Path) -> None:
    stub(machine, "id", A_USER)
    assert run(machine, "true", REFUSED="yes", GROUPS_OF_ME="docker")[0] == 0
    assert (machine / "log").read_text() == "sg docker\n"


def test_a_user_who_still_may_not_use_docker_is_refused_at_once(machine: Path) -> None:
    stub(machine, "id", A_USER)
    began = time.monotonic()
    code, said = run(machine, "true", REFUSED="yes", INFRAFORGE_JOINED="", SUDO_CODE="1")
    assert (code, time.monotonic() - began < 10) == (64, True), said
    always = STUBS["docker"].replace('-z "${INFRAFORGE_JOINED:-}${ALWAYS:-}"', "-n x")
    stub(machine, "docker", always)
    code, said = run(machine, "true", REFUSED="yes")
    assert code == 64
    assert "still may not use Docker" in said
