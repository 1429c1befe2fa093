"""A cached value that callers at about the same time share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """The result of `look`, at most `seconds` old. One look runs at a time; errors are not kept."""

    def __init__(
        self, look: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            if self._kept is None or self._clock() - self._kept[0] >= self._seconds:
                asked = self._clock()
                self._kept = (asked, self._look())
            return self._kept[1]

    def forget(self) -> None:
        """The next `get` looks again."""
        with self._lock:
            self._kept = None
