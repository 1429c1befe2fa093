"""A writer at one server of a Redis group, whatever that server is by now, and what it was told.

It comes by the pod's loopback, which no fault of the network cuts: the worst client there can be,
one that stays with a master nobody else hears of. Its elements are keys of its own with a time to
live; as user it is one of the platform's own, by that one's rights alone.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import redis

from infraforge.components.redis import RedisComponent
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.wait import seconds, wait_until
from infraforge.workloads.crew import Crew

WRITERS: Mapping[str, tuple[str, str]] = {
    "redis-cache": ("backend", "project:promotion-"),
    "redis-sessions": ("sweeper", "idle:last:promotion-"),
}
"""Component → a user that may write, and what the names of its keys begin with."""
LIVES = 600
"""Seconds until what was written ends by itself."""
_NOT_ENOUGH = "NOREPLICAS"
_REFUSED = (redis.ReadOnlyError, redis.exceptions.MasterDownError)
_PACE = 0.02
_PATIENT = seconds(120)
"""For one answer: a frozen server gives it when it goes on."""


class DirectWrites(Crew):
    """Adds elements to a set at `pod` while the block runs; see `checkers.acknowledged`."""

    def __init__(self, site: Site, component: RedisComponent, pod: str) -> None:
        super().__init__({"direct": self._add}, pause=lambda: _PACE)
        self._site, self._component, self._pod = site, component, pod
        user, prefix = WRITERS[component.name]
        self._user = user
        self._prefix = f"{prefix}{secrets.token_hex(4)}-"
        self._numbers = itertools.count(1)
        self._recorder = Recorder()
        self._client: redis.Redis | None = None

    def __enter__(self) -> Self:
        self._forward = self._component.connected(
            self._site, f"pod/{self._pod}", self._user, _PATIENT
        )
        self._client = self._forward.__enter__()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._forward.__exit__(None, None, None)

    @property
    def history(self) -> History:
        """The elements so far."""
        return self._recorder.history

    @property
    def acknowledged(self) -> int:
        """How many elements were."""
        return sum(call.ok for call in self.history.of("add"))

    @property
    def refused(self) -> int:
        """How many the server did not take."""
        return sum(call.outcome == "fail" for call in self.history.of("add"))

    def until(
        self, *, acknowledged: int = 0, refused: int = 0, within: float = 60.0, broken: bool = False
    ) -> None:
        """Wait for so many more. broken: whether a time-out breaks a promise of the platform."""
        goal = (self.acknowledged + acknowledged, self.refused + refused)

        def enough() -> bool:
            self.complain()
            return self.acknowledged >= goal[0] and self.refused >= goal[1]

        what = f"{acknowledged} more acknowledged and {refused} more refused by {self._pod}"
        wait_until(enough, within, every=0.1, what=what, broken=broken)

    def read(self, pod: str) -> History:
        """What of it is there now at `pod`, as a read of the whole set. Raises ClusterError."""
        numbers = [int(str(call.invoke.value)) for call in self.history.of("add")]
        recorder = Recorder()
        with recorder.call(f"read:{pod}", "read") as call:
            try:
                with self._component.connect_member(self._site, pod) as client:
                    there = [n for n in numbers if client.exists(f"{self._prefix}{n}")]
            except redis.RedisError as error:
                raise ClusterError(f"{pod} cannot be read: {error}") from error
            call.ok(tuple(there))
        return recorder.history

    def _add(self) -> None:
        number = next(self._numbers)
        call = self._recorder.invoke("direct", "add", value=number)
        if self._client is None:
            raise ClusterError("written outside of the block")
        try:
            self._client.set(f"{self._prefix}{number}", "1", ex=LIVES)
        except redis.ResponseError as error:
            told = f"{type(error).__name__}: {error}"
            if str(error).startswith(_NOT_ENOUGH) or isinstance(error, _REFUSED):
                call.fail(told)
            else:
                call.info(told)
        except (redis.RedisError, OSError) as error:
            call.info(f"{type(error).__name__}: {error}")
        else:
            call.ok(number)
