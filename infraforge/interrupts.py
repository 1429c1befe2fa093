"""An interrupt ends the work; further signals do not disturb the clean-up.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed ssh session) are treated alike. A terminal, tox and
`infraforge test` may each send one for the same key press, so a second one must not count.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

_ORPHANED = signal.SIGRTMIN
_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, _ORPHANED)
_PR_SET_PDEATHSIG = 1


class _Listener:
    """The handler. heard: the first signal came; deaf: nesting of blocks that it must not end."""

    def __init__(self) -> None:
        self.heard = False
        self.deaf = 0

    def __call__(self, number: int, _frame: object) -> None:
        if number in (signal.SIGHUP, _ORPHANED):
            _silence()
        if self.heard:
            return
        self.heard = True
        if self.deaf:
            with contextlib.suppress(OSError):
                os.write(2, b"infraforge: cleaning up first\n")
            return
        _pass_on()
        raise KeyboardInterrupt


_listening: list[_Listener] = []


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Let the first signal raise KeyboardInterrupt in this block, and ignore any other.

    Child processes of the same group get the signal as well, as Ctrl-C on a terminal would do. A
    SIGHUP that the parent ignores (nohup) stays ignored. SIGINT does not: shells ignore it for
    background jobs, and children would inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    listener = _Listener()
    before = {}
    for number in _NUMBERS:
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        before[number] = signal.signal(number, listener)
    _listening.append(listener)
    try:
        yield
    finally:
        _listening.remove(listener)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal end the block half-way; one that comes meanwhile is raised at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.ExitStack() as stack:
        if not _listening:
            stack.enter_context(heeded())
        listener = _listening[-1]
        before = listener.heard
        listener.deaf += 1
        try:
            yield
        finally:
            listener.deaf -= 1
    if listener.heard and not before and not listener.deaf:
        raise KeyboardInterrupt


def end_with_parent() -> None:
    """Treat the death of the parent process as an interrupt: tox passes only SIGINT on."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _ORPHANED)


def _pass_on() -> None:
    """Send SIGINT to the processes that this one started in its own group."""
    for pid in _descendants():
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == os.getpgrp():
                os.kill(pid, signal.SIGINT)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    pids: list[int] = []
    open_ends = [os.getpid()]
    while open_ends:
        below = children.get(open_ends.pop(), [])
        pids += below
        open_ends += below
    return pids


def _silence() -> None:
    """Discard output to streams that nobody can read any more; files are kept."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            if not stat.S_ISREG(os.fstat(number).st_mode):
                os.dup2(nowhere, number)
        os.close(nowhere)
