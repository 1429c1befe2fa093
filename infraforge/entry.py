"""The last error handler of every program of the harness: no exit code is accidental.

Python exits with 1 after an unhandled exception, and 1 means *broken* here. `guard` runs a program
and turns such an end into 2 (unknown), or into 64 where the machine is at fault. It says in words
what happened and which command comes next, and keeps the traceback in a file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from infraforge import unforeseen
from infraforge.errors import InfraForgeError, UsageError

UNKNOWN, USAGE = InfraForgeError.exit_code, UsageError.exit_code
INTERRUPTED = 128 + signal.SIGINT
NO_READER = 128 + signal.SIGPIPE
"""What a shell reports for a program that SIGINT or SIGPIPE ended."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KEPT = 20
"""Traces that are kept; a new one replaces the oldest."""


class Parser(argparse.ArgumentParser):
    """Reports a wrong call in one line, and exits with the project's own exit code."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see: {self.prog} --help\n")


def guard(program: str, body: Callable[[], int], traces: Callable[[], Path]) -> int:
    """Run `body`; returns the program's exit code, whatever happens.

    program: its name in messages; traces: the folder where tracebacks are kept (a temporary one
    where that cannot be written). After an interrupt it ends the process itself, so that threads
    that wait for something delay nobody.
    """
    _speak_any_language()
    # even where the parent ignores SIGINT, as shells do for background jobs: children would
    # inherit that, and could not be interrupted
    before = {}
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for number in _SIGNALS:
            # nohup ignores SIGHUP on purpose
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _interrupt)
    try:
        code = _run(program, body, traces)
    except KeyboardInterrupt:
        _say(f"{program}: interrupted")
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        os._exit(INTERRUPTED)
    for number, handler in before.items():
        signal.signal(number, handler)
    return code


def _run(program: str, body: Callable[[], int], traces: Callable[[], Path]) -> int:
    try:
        code = _called(program, body)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where errors are handled: Python itself would exit with 120
    except InfraForgeError as error:
        _say(f"{program}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the last handler there is
        if _no_reader(error):
            return _leave_quietly()
        code, words = unforeseen.explained(error)
        _say(f"{program}: {words}")
        _say(f"{program}: {kept(error, traces)}")
        _drop_unwritten(error)
    return code


def _called(program: str, body: Callable[[], int]) -> int:
    try:
        return int(body())
    except SystemExit as ended:
        return _asked_to_end(program, ended)


def keep_trace(error: BaseException, folder: Path) -> Path:
    """Write the traceback to a new file that only its owner can read; returns its path.

    Raises OSError where neither the folder nor a temporary one can be written.
    """
    text = "".join(traceback.format_exception(error))
    head = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {sys.argv[0]}\n\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _write_new(folder, head + text)
    except (OSError, RuntimeError):
        return _write_new(Path(tempfile.gettempdir()), head + text)
    for old in sorted(folder.glob("trace-*.txt"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def _write_new(folder: Path, text: str) -> Path:
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    handle, name = tempfile.mkstemp(prefix=f"trace-{when}-", suffix=".txt", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(text)
    except OSError:
        Path(name).unlink(missing_ok=True)  # a full disk: an empty file helps nobody
        raise
    return Path(name)


def kept(error: BaseException, traces: Callable[[], Path]) -> str:
    """Keep the trace where `traces` says, else in a temporary folder; a sentence about where."""
    try:
        try:
            folder = traces()
        except Exception:  # noqa: BLE001 - no home, for instance; the first error matters more
            folder = Path(tempfile.gettempdir())
        return f"the whole trace is in {keep_trace(error, folder)}"
    except OSError as second:
        return f"the trace could not be kept ({second.strerror}); it ends: {_last_place(error)}"


def _last_place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"


def _asked_to_end(program: str, ended: SystemExit) -> int:
    """The exit code when a library, or argparse, ended the process."""
    if isinstance(ended.__context__, BrokenPipeError):
        return _leave_quietly()  # rich exits with 1 when the reader of its output is gone
    if ended.code is None:
        return 0
    if isinstance(ended.code, int) and ended.code != 1:
        return ended.code
    words = "" if isinstance(ended.code, int) else f": {ended.code}"
    _say(f"{program}: it ended before its work was done, so nothing can be said{words}")
    return UNKNOWN


def _no_reader(error: BaseException) -> bool:
    """Whether the reader of standard output went away, rather than some other connection."""
    if not isinstance(error, BrokenPipeError):
        return False
    for stream in (sys.stdout, sys.stderr):
        try:
            number = stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue
        poll = select.poll()
        poll.register(number, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            return True
    return False


def _leave_quietly() -> int:
    """End like a program that SIGPIPE killed: silently, with a code that shows an early end."""
    _to_nowhere(sys.stdout)
    return NO_READER


def _drop_unwritten(error: BaseException) -> None:
    """Where output itself failed, keep Python from trying, and failing, again at its end."""
    if isinstance(error, OSError) and sys.stdout is not None:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            _to_nowhere(sys.stdout)


def _to_nowhere(stream: object) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[attr-defined]
        os.close(nowhere)


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody may be left to read it
        print(line, file=sys.stderr, flush=True)


def _speak_any_language() -> None:
    """Escape characters that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="backslashreplace")


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
