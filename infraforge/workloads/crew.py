"""Run workload threads for the duration of a `with` block, each repeating one task.

with Crew({"reader-0": read, "writer-0": write}, pause=lambda: 0.1) as crew:
    ...
    crew.complain()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from infraforge.errors import Inconclusive
from infraforge.wait import Deadline, seconds

_STOPS_WITHIN = seconds(60)


class Crew:
    """One thread for each task, named after it.

    tasks: name → function that the thread repeats, with a pause of `pause()` seconds after each
    call. A task that raises is not repeated; `complain` and the end of the block report it.
    """

    def __init__(self, tasks: Mapping[str, Callable[[], None]], pause: Callable[[], float]) -> None:
        self._pause = pause
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, name=name, args=(task,), daemon=True)
            for name, task in tasks.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        end = Deadline(_STOPS_WITHIN)
        for thread in self._threads:
            thread.join(end.left)
        if error is None:
            self.complain()
            if self.busy:
                raise Inconclusive(
                    f"the load did not stop within {_STOPS_WITHIN:.0f} s: {', '.join(self.busy)}"
                )

    @property
    def busy(self) -> list[str]:
        """The names of the threads that have not ended."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def complain(self) -> None:
        """Raise Inconclusive where a task has failed: the recorded history is incomplete then."""
        if self._failures:
            error = self._failures[0]
            raise Inconclusive(f"the load failed: {type(error).__name__}: {error}") from error

    def _run(self, task: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                task()
                self._stop.wait(self._pause())
        except BaseException as error:  # noqa: BLE001 - reported by `complain`
            self._failures.append(error)
