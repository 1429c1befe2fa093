"""The progress board: shows what is under way and since when.

On a terminal it is a live table, elsewhere plain lines.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

Progress = Callable[[str, str], None]
"""Called with a name (of an image, a component, a stage) and the step that begins there.

The last step of a name is a Done.
"""

_REMIND = 60.0
"""Seconds after which plain lines repeat what is still running."""


class Done(str):
    """The last step of a name: how its work ended."""

    __slots__ = ()


def silent(_name: str, _step: str) -> None:
    """Show nothing."""


@contextlib.contextmanager
def shown(stream: TextIO = sys.stderr) -> Iterator[Progress]:
    """A Progress that writes to `stream`."""
    console = Console(file=stream)
    board = _Board()
    if console.is_terminal:
        with Live(get_renderable=board.table, console=console, transient=True) as live:
            yield board.telling(lambda line: live.console.print(line, highlight=False))
        return
    stop = threading.Event()

    def say(line: str) -> None:
        stream.write(f"{line}\n")  # in one call: several threads write
        stream.flush()

    def remind() -> None:
        while not stop.wait(_REMIND):
            for name, step, since in board.going():
                say(f"{name}: still {step}, for {since:.0f} s")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield board.telling(say, steps=True)
    finally:
        stop.set()
        reminder.join()


class _Board:
    """Running work: name → step and when it began. Safe for use from several threads."""

    def __init__(self) -> None:
        self._going: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def telling(self, say: Callable[[str], None], *, steps: bool = False) -> Progress:
        """A Progress that notes each step, and reports ends (and, with `steps`, beginnings)."""

        def progress(name: str, step: str) -> None:
            with self._lock:
                if isinstance(step, Done):
                    self._going.pop(name, None)
                else:
                    self._going[name] = step, time.monotonic()
            if steps or isinstance(step, Done):
                say(f"{time.strftime('%H:%M:%S')} {name}: {step}")

        return progress

    def going(self) -> list[tuple[str, str, float]]:
        """Name, step, seconds since it began."""
        with self._lock:
            now = time.monotonic()
            return [(name, step, now - began) for name, (step, began) in self._going.items()]

    def table(self) -> Table:
        table = Table(box=None, show_header=False)
        for name, step, since in self.going():
            minutes, seconds = divmod(int(since), 60)
            table.add_row(name, step, f"{minutes}:{seconds:02d}")
        return table
