"""The last error handler: an unforeseen error ends with 2 or 64, in words, its trace kept."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import urllib3
from kubernetes import client

from infraforge import entry, unforeseen
from infraforge.errors import ClusterError, Inconclusive, UsageError, machine_fault
from infraforge.images.errors import BuildError

ROOT = Path(__file__).parents[2]
POOL = urllib3.HTTPSConnectionPool("127.0.0.1")


def raising(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


def no_such_program() -> int:
    return subprocess.run(["no-such-program"], check=False).returncode


def damaged() -> int:
    return int(json.loads("{"))


def endless() -> int:
    return endless() + 1


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (raising(UsageError("not so")), 64, "not so"),
        (raising(Inconclusive("who knows")), 2, "who knows"),
        (raising(OSError(errno.ENOSPC, "full", "/x")), 64, "/x: the disk is full"),
        (raising(OSError(errno.EROFS, "ro")), 64, "read-only"),
        (raising(PermissionError(errno.EACCES, "no", "/cache")), 64, "/cache: permission denied"),
        (raising(NotADirectoryError(errno.ENOTDIR, "no", "/cache/x")), 64, "/cache/x: a file is"),
        (raising(MemoryError()), 64, "memory"),
        (no_such_program, 64, "no-such-program is missing"),
        (raising(FileNotFoundError(errno.ENOENT, "no", "words.txt")), 2, "words.txt"),
        (raising(client.ApiException(503, "Service Unavailable")), 2, "answered 503"),
        (raising(urllib3.exceptions.MaxRetryError(POOL, "/api")), 2, "does not answer"),
        (raising(requests.ConnectionError("refused")), 2, "does not answer"),
        (raising(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), 2, "does not answer"),
        (raising(TimeoutError("late")), 2, "does not answer"),
        (raising(BrokenPipeError(errno.EPIPE, "a socket of ours")), 2, "does not answer"),
        (raising(subprocess.CalledProcessError(1, ["kind"], stderr="no\nnode")), 2, "code 1: node"),
        (damaged, 2, "damaged (JSONDecodeError"),
        (raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")), 2, "damaged (UnicodeDecode"),
        (endless, 2, "nested too deeply"),
        (raising(AssertionError("a test's own word")), 2, "the harness itself failed"),
        (raising(SystemExit(1)), 2, "ended before its work was done"),
        (raising(SystemExit("no reason")), 2, "no reason"),
        (raising(SystemExit(64)), 64, ""),
        (raising(SystemExit(None)), 0, ""),
    ],
)
def test_every_exit_code_is_deliberate(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    body: Callable[[], int],
    code: int,
    words: str,
) -> None:
    assert entry.guard("infraforge", body, lambda: tmp_path) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_the_trace_is_in_a_file_for_its_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "traces"
    entry.guard("infraforge", raising(KeyError("who")), lambda: folder)
    (trace,) = folder.iterdir()
    assert str(trace) in capsys.readouterr().err
    assert "KeyError: 'who'" in trace.read_text()
    assert trace.stat().st_mode & 0o77 == 0


def test_a_foreseen_error_leaves_no_trace(tmp_path: Path) -> None:
    entry.guard("infraforge", raising(ClusterError("told")), lambda: tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_trace_goes_elsewhere_where_its_folder_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    entry.guard("infraforge", raising(KeyError("who")), lambda: tmp_path / "file" / "traces")
    (trace,) = elsewhere.iterdir()
    assert str(trace) in capsys.readouterr().err


def test_a_trace_that_can_be_kept_nowhere_names_its_last_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk, for instance."""
    monkeypatch.setattr("tempfile.tempdir", "/dev/null/not")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/dev/null/not")
    code = entry.guard("infraforge", raising(KeyError("who")), lambda: Path("/dev/null/traces"))
    assert code == 2
    assert f"it ends: {__file__}:" in capsys.readouterr().err


def test_old_traces_make_room(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"trace-20200101T0000{number:02d}Z-x.txt").write_text("")
    (tmp_path / "notes.txt").write_text("mine")
    entry.guard("infraforge", raising(KeyError("who")), lambda: tmp_path)
    assert len([*tmp_path.glob("trace-*")]) == 20
    assert (tmp_path / "notes.txt").exists()


SCRIPT = """
import pathlib, sys
from infraforge import entry
from rich.console import Console
def body():
    {body}
    return 0
sys.exit(entry.guard("infraforge", body, lambda: pathlib.Path({traces!r})))
"""
PRINTS = "[print('x' * 99) for _ in range(9999)]"
SHOWS = "[Console().print('x' * 99) for _ in range(999)]"
PRINTS_A_WORD = "print('a word')"


def script(body: str, tmp_path: Path) -> list[str]:
    return [sys.executable, "-c", SCRIPT.format(body=body, traces=str(tmp_path / "traces"))]


@pytest.mark.parametrize("body", [PRINTS, SHOWS, PRINTS_A_WORD])
def test_a_closed_pipe_is_neither_a_verdict_nor_a_trace(tmp_path: Path, body: str) -> None:
    """`infraforge images list | head -1`: as a program that dies of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        script(body, tmp_path), cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.returncode == entry.NO_READER == 141
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("body", [PRINTS_A_WORD, f"{PRINTS_A_WORD}; raise SystemExit(0)"])
def test_output_to_a_full_disk_is_the_machines_fault(tmp_path: Path, body: str) -> None:
    """Python's own code for that would be 120."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            script(body, tmp_path),
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 64
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_terminal_that_lacks_a_letter_is_given_an_escape(tmp_path: Path) -> None:
    done = subprocess.run(
        script("print('a · b'); print(chr(0xdcff))", tmp_path),
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "a \\xb7 b\n\\udcff\n")


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
def test_closed_streams_end_nothing(tmp_path: Path, closed: str) -> None:
    program = " ".join(f"'{part}'" for part in script("print(1)", tmp_path) if "'" not in part)
    (tmp_path / "it.py").write_text(script("print(1)", tmp_path)[2])
    argv = ["bash", "-c", f"{program.split()[0]} {tmp_path / 'it.py'} {closed}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_ends_with_130(tmp_path: Path, name: str) -> None:
    body = f"import os, signal; os.kill(os.getpid(), signal.{name}); signal.pause()"
    done = subprocess.run(
        script(body, tmp_path), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "infraforge: interrupted\n")


def test_nohup_is_heeded(tmp_path: Path) -> None:
    body = "import os, signal; os.kill(os.getpid(), signal.SIGHUP)"
    argv = ["bash", "-c", 'trap "" HUP; exec "$@"', "bash", *script(body, tmp_path)]
    assert subprocess.run(argv, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_a_broken_installation_is_told(tmp_path: Path) -> None:
    """What the console script imports is guarded, too."""
    (tmp_path / "kubernetes.py").write_text("raise ImportError('half of it is missing')\n")
    done = subprocess.run(
        [sys.executable, "-m", "infraforge.cli", "list"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "INFRAFORGE_STATE": str(tmp_path / "s")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "half of it is missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            "no Do",
        ),
        ("permission denied while trying to connect to the Docker daemon socket", "may not use"),
        ("permission denied while trying to connect to the docker API at unix:///x", "may not use"),
        ("write /var/lib/docker/x: no space left on device", "full"),
        ("Error: No such container: x", ""),
    ],
)
def test_a_programs_output_tells_whether_the_machine_is_at_fault(said: str, words: str) -> None:
    assert (words in machine_fault(said)) if words else not machine_fault(said)


def test_a_build_that_the_machine_stopped_is_the_machines_fault(tmp_path: Path) -> None:
    full = BuildError("node", "docker build", ["no space left on device"], tmp_path)
    assert (full.exit_code, BuildError("node", "make", ["error"], tmp_path).exit_code) == (64, 2)


def _group() -> BaseException:
    full = OSError(errno.ENOSPC, "No space left on device", "/reports/x")
    return ExceptionGroup("errors during test teardown", [ValueError("x"), full])


def _raised_from() -> BaseException:
    error = RuntimeError("the result was not written")
    error.__cause__ = OSError(errno.EROFS, "Read-only file system", "/reports/x")
    return error


@pytest.mark.parametrize("make", [_group, _raised_from])
def test_a_machine_fault_inside_another_error_is_still_the_machines(
    make: Callable[[], BaseException],
) -> None:
    code, words = unforeseen.explained(make())
    assert code == 64
    assert words.startswith("/reports/x: th")
    assert unforeseen.explained(ExceptionGroup("several", [ValueError("x")]))[0] == 2
