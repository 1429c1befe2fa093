"""A pytest run that meets an unforeseen error never ends with 1, nor with pytest's own 3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PLUGINS = ["-pinfraforge.plugin", "-pno:locust", "-pno:schemathesis", "-pno:cacheprovider"]
PASSES = "def test_one(): pass\n"
FAILING_START = "def pytest_sessionstart(): raise RuntimeError('no start')\n"
FAILING_END = "def pytest_sessionfinish(): raise OSError(28, 'No space left on device')\n"
FAILING_LATER = "def pytest_unconfigure(): raise RuntimeError('no end')\n"
FAILING_LOOP = "def pytest_runtestloop(): raise RuntimeError('no tests')\n"
NO_USE = "import pytest\ndef pytest_collection(): raise pytest.UsageError('not so')\n"
VERDICT = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    session.exitstatus = 3
"""


def run(folder: Path, *argv: str, conftest: str = "", test: str = PASSES) -> tuple[int, str]:
    """Exit code and all output of a pytest that has the plugin, with this conftest and test."""
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_PLUGINS, *argv],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "INFRAFORGE_STATE": str(folder / "state"),
            "INFRAFORGE_CACHE": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("conftest", "code", "words"),
    [
        ("", 0, ""),
        (FAILING_START, 2, "the harness itself failed (RuntimeError: no start)"),
        (FAILING_END, 64, "the disk is full"),
        (FAILING_LATER, 2, "no end"),
        (FAILING_LOOP, 2, "nothing can be said"),
        (NO_USE, 64, "not so"),
        (VERDICT, 3, ""),
    ],
    ids=["nothing", "start", "end", "later", "loop", "usage", "verdict"],
)
def test_an_unforeseen_error_is_unknown_or_the_machines(
    tmp_path: Path, conftest: str, code: int, words: str
) -> None:
    """And a 3 that was meant stays one."""
    exit_code, said = run(tmp_path, conftest=conftest)
    assert exit_code == code, said
    assert words in said


def test_the_trace_of_a_failed_start_is_in_a_file(tmp_path: Path) -> None:
    code, said = run(tmp_path, conftest=FAILING_START)
    (trace,) = (tmp_path / "state" / "traces").iterdir()
    assert code == 2
    assert "Traceback" not in said
    assert str(trace) in said
    assert "RuntimeError: no start" in trace.read_text()


def test_an_empty_selection_is_unknown(tmp_path: Path) -> None:
    assert run(tmp_path, "-k", "nothing-of-this-name")[0] == 2


def test_a_failed_test_is_still_a_failed_test(tmp_path: Path) -> None:
    assert run(tmp_path, test="def test_one(): assert False\n")[0] == 1


def test_a_plugin_that_cannot_be_imported_is_not_a_verdict(tmp_path: Path) -> None:
    """Pytest's code for it would be 3."""
    package = tmp_path / "infraforge"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text("raise RuntimeError('broken')\n")
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:schemathesis"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr
