"""Part of the pytest plugin: the exit code of a pytest run in which something unforeseen happens.

pytest's own codes have other meanings here: its 3 (internal error) and 5 (nothing collected) say
nothing about the platform, and an exception of a plugin at the end of a session would make Python
exit with 1, *broken*. This turns them into 2 (unknown), or 64 for usage and the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from infraforge import entry, unforeseen
from infraforge.cluster import state

_OURS = {
    pytest.ExitCode.INTERNAL_ERROR: entry.UNKNOWN,
    pytest.ExitCode.NO_TESTS_COLLECTED: entry.UNKNOWN,
    pytest.ExitCode.USAGE_ERROR: entry.USAGE,
}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main() -> Generator[None, int | pytest.ExitCode | None, int]:
    """The exit code of the whole run."""
    try:
        code = yield
    except pytest.UsageError as error:
        _say("; ".join(str(part) for part in error.args))
        return entry.USAGE
    except KeyboardInterrupt:
        _say("interrupted while the run was ending")
        return entry.UNKNOWN
    except BaseException as error:  # noqa: BLE001 - the last handler there is
        return _told(error)[0]
    # an exit code that the tests determined is an int, and not one of pytest's own
    if isinstance(code, pytest.ExitCode) and code in _OURS:
        if code is pytest.ExitCode.INTERNAL_ERROR:
            _say("the run itself failed, so nothing can be said of the platform")
        return _OURS[code]
    return int(code or 0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionstart() -> Generator[None, None, None]:
    """Report failures during the stand-up in words, as every command does."""
    try:
        return (yield)
    except (pytest.UsageError, pytest.exit.Exception):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is
        code, words = _told(error)
        pytest.exit(words, returncode=code)


def _told(error: BaseException) -> tuple[int, str]:
    """Report the error and keep its trace; returns exit code and words."""
    code, words = unforeseen.explained(error)
    _say(words)
    _say(entry.kept(error, lambda: state.state_dir() / "traces"))
    return code, words


def _say(line: str) -> None:
    print(f"infraforge: {line}", file=sys.stderr, flush=True)
