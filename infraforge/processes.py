"""Identifies the process that did something, even if another one got its number later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_DEAD = ("Z", "X", "x")


@dataclass(frozen=True)
class Identity:
    """One process of this machine. started: its start in clock ticks since the boot `boot`."""

    pid: int
    started: int
    boot: str

    @classmethod
    def own(cls) -> Identity:
        """This process."""
        pid = os.getpid()
        state = _state_and_start(pid)
        return cls(pid, state[1] if state else 0, _boot())

    @property
    def lives(self) -> bool:
        """Whether it still runs. One that ended and was not waited for (a zombie) does not."""
        status = _state_and_start(self.pid)
        if status is None or self.boot != _boot():
            return False
        state, started = status
        return started == self.started and state not in _DEAD


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """State letter and start time (fields 3 and 22 of /proc/PID/stat); None without process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    return fields[0], int(fields[19])


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
