"""What a failed build says: image, step, last lines, and where the whole log is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infraforge.errors import Inconclusive


class BuildError(Inconclusive):
    """An image could not be made.

    image: name of the image or Go module; step: what was being done; tail: last lines it printed.
    """

    def __init__(self, image: str, step: str, tail: Sequence[str], log: Path) -> None:
        self.image = image
        self.step = step
        self.tail = tuple(tail)
        self.log = log
        lines = "\n".join(f"    {line}" for line in tail)
        super().__init__(f"{image}: {step} failed. Last lines:\n{lines}\n  whole log: {log}")
