"""Real processes for tests of locks and interrupts: a script that prints a word, then waits."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Other:
    """Another Python process. Its script speaks by `print(…, flush=True)`, hears by `input()`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hears(self) -> str:
        """The next line that it says; "" when it ended."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def tell(self, word: str = "go") -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def other(script: str, *arguments: str, **how: object) -> Iterator[Other]:
    """Run the script beside this process; it is gone after the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **how,  # type: ignore[call-overload]
    )
    try:
        yield Other(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
