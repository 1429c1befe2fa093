"""An error that nobody foresaw, in words: what is wrong, and which command comes next.

If the machine is at fault (a full disk, a missing program), it says so and exits with 64. Else
nothing can be said of the platform: 2.
"""

from __future__ import annotations

import errno
import os
import subprocess
import traceback
from pathlib import Path

from infraforge.errors import InfraForgeError, UsageError

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


def explained(error: BaseException) -> tuple[int, str]:
    """Exit code and words for an error that nobody foresaw."""
    if isinstance(error, InfraForgeError):
        return error.exit_code, str(error)
    if words := _of_machine_within(error):
        return UsageError.exit_code, words
    return (
        InfraForgeError.exit_code,
        f"{_of_elsewhere(error)}, so nothing can be said of the platform",
    )


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
