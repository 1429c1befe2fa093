"""The last error handler of every program of the harness: no exit code is accidental.

Python exits with 1 after an unhandled exception, and 1 means *broken* here. `guard` runs a program
and turns such an end into 2 (unknown), or into 64 where the machine is at fault. It says in words
what happened and which command comes next, and keeps the traceback in a file.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from infraforge.errors import InfraForgeError

UNKNOWN, USAGE = 2, 64
INTERRUPTED = 128 + signal.SIGINT
NO_READER = 128 + signal.SIGPIPE
"""What a shell reports for a program that SIGINT or SIGPIPE ended."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KEPT = 20
"""Traces that are kept; a new one replaces the oldest."""

_MACHINE = {
    errno.ENOSPC: "the disk is full: free some, or set INFRAFORGE_CACHE and INFRAFORGE_STATE to "
    "folders on a larger one",
    errno.EDQUOT: "the disk quota is used up: free some",
    errno.EROFS: "this file system is read-only: set INFRAFORGE_CACHE and INFRAFORGE_STATE to "
    "folders on another one",
    errno.EACCES: "permission denied: to see the owner, run ls -ld; INFRAFORGE_CACHE and "
    "INFRAFORGE_STATE may name other folders",
    errno.EPERM: "not permitted for this user: run as root, or set INFRAFORGE_CACHE and "
    "INFRAFORGE_STATE to folders of your own",
    errno.ENOTDIR: "a file is where a folder should be: move it away, or choose another path",
    errno.EEXIST: "something is where a folder should be: move it away, or choose another path",
    errno.EISDIR: "a folder is where a file should be: name the file",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter one",
    errno.ELOOP: "symbolic links form a circle: choose another path",
    errno.EIO: "the disk cannot be read or written: see dmesg",
    errno.EMFILE: "too many files are open: raise the limit by ulimit -n",
    errno.ENFILE: "too many files are open on this machine: end some programs",
    errno.ENOMEM: "memory ran out: free some",
    errno.EAGAIN: "no further process or thread is allowed: see ulimit -u",
}
"""errno → what is wrong with the machine, and what to do."""

_NO_ANSWER = {"urllib3.HTTPError", "requests.RequestException", "subprocess.TimeoutExpired"}
_DAMAGE = {
    "json.JSONDecodeError",
    "tomllib.TOMLDecodeError",
    "yaml.YAMLError",
    "zipfile.BadZipFile",
    "tarfile.TarError",
}


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
        code, words = explained(error)
        _say(f"{program}: {words}")
        _say(f"{program}: {kept(error, traces)}")
        _drop_unwritten(error)
    return code


def _called(program: str, body: Callable[[], int]) -> int:
    try:
        return int(body())
    except SystemExit as ended:
        return _asked_to_end(program, ended)


def explained(error: BaseException) -> tuple[int, str]:
    """Exit code and words for an error that nobody foresaw."""
    if isinstance(error, InfraForgeError):
        return error.exit_code, str(error)
    if words := _of_machine_within(error):
        return USAGE, words
    return UNKNOWN, f"{_of_elsewhere(error)}, so nothing can be said of the platform"


def _of_machine_within(error: BaseException) -> str:
    """The same for an error that was raised from another, or for several at once."""
    if words := _of_machine(error):
        return words
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for one in (*inner, error.__cause__):
        if one is not None and (words := _of_machine_within(one)):
            return words
    return ""


def _of_machine(error: BaseException) -> str:
    """What is wrong with the machine, and what to do; "" where it is not at fault."""
    if isinstance(error, MemoryError):
        return _MACHINE[errno.ENOMEM]
    if not isinstance(error, OSError) or _of_network(error):
        return ""
    if isinstance(error, FileNotFoundError) and _is_program(error):
        return f"{error.filename} is missing; install it with: ./bootstrap true"
    if error.errno == errno.ENOENT and _making_a_folder(error):
        return f"{error.filename}: no folder can be made here; choose another path"
    if error.errno not in _MACHINE:
        return ""
    named = isinstance(error.filename, str | bytes)
    where = f"{os.fsdecode(error.filename)}: " if named else ""
    return f"{where}{_MACHINE[error.errno]}"


def _of_elsewhere(error: BaseException) -> str:
    """What went wrong outside the machine, in words."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    if "kubernetes.ApiException" in kinds:
        status, reason = getattr(error, "status", 0), getattr(error, "reason", "")
        return f"the API server answered {status} ({_short(reason)}); see: infraforge list"
    if kinds & _NO_ANSWER or _of_network(error):
        return f"something does not answer ({_short(error)}); see: infraforge list"
    if isinstance(error, subprocess.CalledProcessError):
        program, said = error.cmd, error.stderr or error.stdout or b""
        name = program if isinstance(program, str) else os.fspath(program[0])
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        last = [line for line in text.splitlines() if line.strip()][-1:]
        return ": ".join([f"{name} failed with exit code {error.returncode}", *map(_short, last)])
    if isinstance(error, RecursionError):
        return "something is nested too deeply"
    if isinstance(error, UnicodeError) or kinds & _DAMAGE:
        return f"something that was read is damaged ({type(error).__name__}: {_short(error)})"
    return f"the harness itself failed ({type(error).__name__}: {_short(error)})"


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


def _is_program(error: FileNotFoundError) -> bool:
    """Whether a program is missing: a bare name, as the harness calls all programs."""
    frames = traceback.extract_tb(error.__traceback__)
    starting = bool(frames) and Path(frames[-1].filename).name == "subprocess.py"
    return starting and isinstance(error.filename, str) and os.sep not in error.filename


def _making_a_folder(error: OSError) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].name == "mkdir"


def _of_network(error: BaseException) -> bool:
    return isinstance(error, ConnectionError | TimeoutError)


def _short(what: object) -> str:
    """The first line, shortened if it is long."""
    line = next(iter(str(what).splitlines()), "") or type(what).__name__
    return line if len(line) <= 300 else f"{line[:300]}…"


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
