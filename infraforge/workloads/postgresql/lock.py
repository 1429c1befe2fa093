"""Who holds Patroni's lock while clients work, for `checkers.recovery` and the picture.

with LockWatcher(site) as lock:
    ...
history = load.history + watchers.history + lock.history

The lock is ConfigMap `postgres-leader`. Its annotation `leader` names the member that holds it,
which writes `renewTime` anew once a loop; without that annotation, or without the ConfigMap, nobody
holds it (Patroni 4.0.7, dcs/kubernetes.py). Two watchers answer `lock` with the holder, or null:

    watch   is told of each change. Its look is open from the change before to this one, since
            the API server says nothing in between. A watch that is lost is a failed look.
    read    asks again and again. What it is told was there at some time after it had asked.

A primary that dies in silence gives nothing back: its lock runs out, and nobody writes that. The
members forget a lock that was not renewed for `ttl` seconds, each counting from when it saw the
last renewal, so none of them may take it before `ttl` seconds after that was written. This end of
its time is recorded as event `detected`, between

    `ttl` after the latest read that did not show this renewal yet was asked, and
    `ttl` after the first look that did show it,

but only where a read that was asked later still still showed it. Without such a read nobody knows
whether the lock ran out or was given up: there is no event, and the term stays unexplained. That
the members saw the renewal some milliseconds later than it was written belongs to the election.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import urllib3
from kubernetes import client, watch

from infraforge.components.postgres import NAMESPACE
from infraforge.components.site import Site
from infraforge.history import WATCH, History
from infraforge.recorder import Recorder
from infraforge.wait import Deadline, seconds
from infraforge.workloads.crew import Crew
from infraforge.workloads.postgresql.watchers import event

LEADER = "postgres-leader"
_WATCHER, _READER = f"{WATCH}lock", f"{WATCH}lock-read"
_ANSWERS_WITHIN = 2.0
_ROUND_SECONDS = 60
"""After so long the API server ends a watch."""
_ENDS_WITHIN = seconds(10)


class _Lost(Exception):
    """The watch is over: what changes from now on is not told."""


_NO_ANSWER = (client.ApiException, urllib3.exceptions.HTTPError, OSError, _Lost)


@dataclass(frozen=True)
class Lease:
    """What ConfigMap `postgres-leader` says.

    version: its resource version, which each renewal raises. These are numbers to be compared:
    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
    holder: None where nobody holds the lock; ttl: seconds, None where it has no end.
    """

    version: int
    holder: str | None
    ttl: int | None

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Lease:
        """Of the ConfigMap's metadata, as JSON has it."""
        told = metadata.get("annotations") or {}
        ttl = str(told.get("ttl") or "")
        version = int(metadata["resourceVersion"])
        return cls(version, told.get("leader") or None, int(ttl) if ttl.isdecimal() else None)


class Terms:
    """When locks ran out, from looks at them. Safe for several threads; times are ns.

    ran_out: for each lock that did, between which times.
    """

    def __init__(self) -> None:
        self.ran_out: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._lease = Lease(-1, None, None)
        self._not_yet: int | None = None  # the latest read that did not show this lease was asked
        self._asked: int | None = None  # the latest read of all was asked
        self._shown = 0  # by then this lease was there
        self._over = False

    def saw(self, lease: Lease, at: int, asked: int | None = None) -> None:
        """at: when it was seen; asked: when the read was asked, None where a watch told of it."""
        with self._lock:
            if lease.version > self._lease.version:
                self._lease, self._shown, self._over = lease, at, False
                self._not_yet = self._asked
            elif lease.version < self._lease.version:
                if asked is not None:
                    self._not_yet = asked if self._not_yet is None else max(self._not_yet, asked)
                return
            if asked is not None:
                self._ask(asked)

    def _ask(self, asked: int) -> None:
        """A read asked then showed this lease."""
        self._asked = asked if self._asked is None else max(self._asked, asked)
        if self._over or self._lease.holder is None or self._lease.ttl is None:
            return
        lasts = self._lease.ttl * 1_000_000_000
        if self._not_yet is not None and asked >= self._shown + lasts:
            self.ran_out.append((self._not_yet + lasts, self._shown + lasts))
            self._over = True


class LockWatcher(Crew):
    """Watches the lock for the duration of the block. every: seconds between two reads."""

    def __init__(self, site: Site, every: float = 0.1) -> None:
        self._core = site.core
        self._recorder = Recorder()
        self._terms = Terms()
        self._watch = watch.Watch()
        super().__init__({_WATCHER: self._follow, _READER: self._read}, pause=lambda: every)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        end = Deadline(_ENDS_WITHIN)
        while not end.passed and any(thread.is_alive() for thread in self._threads):
            self._watch.stop()  # what waits for the next change waits no more
            self._threads[0].join(0.05)
        super().__exit__(kind, error, trace)

    @property
    def history(self) -> History:
        """What was seen so far, and each lock that ran out."""
        found = self._recorder.history
        for since, until in tuple(self._terms.ran_out):
            found += event("detected", since, until)
        return found

    def _read(self) -> None:
        with self._recorder.call(_READER, "lock", fail=_NO_ANSWER) as call:
            try:
                item: Any = self._core.read_namespaced_config_map(
                    LEADER, NAMESPACE, _request_timeout=_ANSWERS_WITHIN
                )
            except client.ApiException as error:
                if error.status != 404:
                    raise
                call.ok(None)
                return
            lease = Lease.of(_json(item.metadata))
            self._terms.saw(lease, time.monotonic_ns(), call.operation.time)
            call.ok(lease.holder)

    def _follow(self) -> None:
        """A list, and the changes from it until the watch is lost."""
        chosen: dict[str, Any] = {"field_selector": f"metadata.name={LEADER}"}
        going, holder, changes = False, None, None
        with self._recorder.call(_WATCHER, "lock", fail=_NO_ANSWER) as call:
            listed: Any = self._core.list_namespaced_config_map(
                NAMESPACE, **chosen, _request_timeout=_ANSWERS_WITHIN
            )
            for item in listed.items:
                lease = Lease.of(_json(item.metadata))
                self._terms.saw(lease, time.monotonic_ns(), call.operation.time)
                holder = lease.holder
            changes = self._changes(listed.metadata.resource_version, chosen)
            call.ok(holder)
            going = True
        while changes is not None and going and not self._stop.is_set():
            going = False
            with self._recorder.call(_WATCHER, "lock", fail=_NO_ANSWER) as call:
                change = _next(changes)
                if change["type"] != "BOOKMARK":  # which says that up to here nothing has changed
                    lease = Lease.of(change["raw_object"]["metadata"])
                    gone = change["type"] == "DELETED"
                    lease = Lease(lease.version, None, None) if gone else lease
                    self._terms.saw(lease, time.monotonic_ns())
                    holder = lease.holder
                call.ok(holder)
                going = True

    def _changes(self, version: str, chosen: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        found: Iterator[dict[str, Any]] = self._watch.stream(
            self._core.list_namespaced_config_map,
            NAMESPACE,
            **chosen,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=_ROUND_SECONDS,
            _request_timeout=(_ANSWERS_WITHIN, _ROUND_SECONDS + _ANSWERS_WITHIN),
        )
        return found


def _next(changes: Iterator[dict[str, Any] | None]) -> dict[str, Any]:
    try:
        change = next(changes, None)
    except ValueError as error:  # of a TLS connection that was shut while somebody read from it
        raise _Lost(f"the watch broke: {error}") from error
    if change is None:  # the end, or a line that is no JSON
        raise _Lost("the watch ended")
    return change


def _json(metadata: Any) -> Mapping[str, Any]:
    return {"resourceVersion": metadata.resource_version, "annotations": metadata.annotations}
