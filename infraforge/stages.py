"""The durations of a stand-up's stages, reported as they begin and end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from infraforge.progress import Done, Progress


class Stages:
    """Seconds by stage; a stage that fails is left out."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        began = time.monotonic()
        self._progress(f"[{name}]", "under way")
        yield
        took = time.monotonic() - began
        self.seconds[name] = round(took, 2)
        self._progress(f"[{name}]", Done(f"done in {took:.1f} s"))
