"""The error of a failed build: image, step, last lines, and the path of the whole log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infraforge.errors import Inconclusive, UsageError, machine_fault


class BuildError(Inconclusive):
    """An image could not be made.

    image: name of the image or Go module; step: the failed step; tail: its last lines of output.
    Exits with 64 where the output shows that the machine is at fault: full disk, no Docker daemon.
    """

    def __init__(self, image: str, step: str, tail: Sequence[str], log: Path) -> None:
        self.image = image
        self.step = step
        self.tail = tuple(tail)
        self.log = log
        fault = machine_fault("\n".join(tail))
        if fault:
            self.exit_code = UsageError.exit_code
        lines = "\n".join(f"    {line}" for line in tail)
        why = f" ({fault})" if fault else ""
        super().__init__(f"{image}: {step} failed{why}. Last lines:\n{lines}\n  whole log: {log}")
