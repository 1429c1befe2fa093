"""Record a history while several threads make it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from infraforge.history import History, Kind, Operation


class Recorder:
    """Collects a history from many threads; each names itself as its process.

    clock: monotonic, ns. An operation gets its time and its place under one lock, so the order of
    the history is the order of the clock.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._operations: list[Operation] = []
        self._open: set[str] = set()

    @property
    def history(self) -> History:
        """What was recorded so far."""
        with self._lock:
            return History(tuple(self._operations))

    def invoke(
        self, process: str, function: str, key: str | None = None, value: Any = None
    ) -> Pending:
        """Record that `process` is about to do this; what comes back takes its completion.

        Raises ValueError while the process has an operation open.
        """
        with self._lock:
            if process in self._open:
                raise ValueError(f"{process} has an operation open: one process, one at a time")
            operation = Operation(process, Kind.INVOKE, function, key, value, self._clock())
            self._open.add(process)
            self._operations.append(operation)
        return Pending(self, operation)

    @contextlib.contextmanager
    def call(
        self,
        process: str,
        function: str,
        key: str | None = None,
        value: Any = None,
        *,
        fail: tuple[type[Exception], ...] = (),
        info: tuple[type[Exception], ...] = (),
    ) -> Iterator[Pending]:
        """An operation as a block, in which the client calls `.ok(value)`.

        fail, info: exceptions that mean "surely not done" and "nobody can tell"; they are recorded
        and end the block quietly. Any other is recorded as info and goes on its way. A block left
        without a completion is info.
        """
        pending = self.invoke(process, function, key, value)
        try:
            yield pending
        except fail as error:
            pending.fail(_reason(error))
        except info as error:
            pending.info(_reason(error))
        except BaseException as error:
            if not pending.completed:
                pending.info(_reason(error))
            raise
        if not pending.completed:
            pending.info("left without an answer")

    def complete(
        self, invoked: Operation, kind: Kind, value: Any, error: str, by: Any = None
    ) -> None:
        """Record the completion of `invoked`; `Pending` is the way to call this."""
        process, function, key = invoked.process, invoked.function, invoked.key
        with self._lock:
            operation = Operation(process, kind, function, key, value, self._clock(), error, by)
            self._operations.append(operation)
            self._open.discard(invoked.process)


class Pending:
    """An operation that was invoked; it completes once. Raises ValueError the second time."""

    def __init__(self, recorder: Recorder, operation: Operation) -> None:
        self._recorder = recorder
        self.operation = operation
        self.completed = False

    def ok(self, value: Any = None, by: Any = None) -> None:
        """It happened, and this came back. by: who answered."""
        self._complete(Kind.OK, value, by=by)

    def fail(self, reason: str = "") -> None:
        """It surely did not happen."""
        self._complete(Kind.FAIL, self.operation.value, reason)

    def info(self, reason: str = "") -> None:
        """Nobody can tell whether it happened, or will."""
        self._complete(Kind.INFO, self.operation.value, reason)

    def _complete(self, kind: Kind, value: Any, error: str = "", by: Any = None) -> None:
        if self.completed:
            raise ValueError(f"completed twice: {self.operation}")
        self._recorder.complete(self.operation, kind, value, error, by)
        self.completed = True


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
