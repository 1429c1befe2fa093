"""The present state of the platform's workloads and pods, kept up to date by watches.

Each watch lists first, then follows changes from that list (Kubernetes API Concepts: Efficient
detection of changes). A watch that ends or is too old starts over with a list.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import urllib3
from kubernetes import client, watch

from infraforge.wait import Deadline

_SELECTOR = "app.kubernetes.io/part-of=infraforge"
_ROUND_SECONDS = 60
_LOOK_AGAIN = 1.0


class Watching:
    """Deployments, StatefulSets, DaemonSets and pods of the platform, by kind and name.

    Safe for use from several threads; every change wakes all who wait.
    """

    def __init__(self, api: client.ApiClient) -> None:
        core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
        self._sources: dict[str, Callable[..., Any]] = {
            "Deployment": apps.list_deployment_for_all_namespaces,
            "StatefulSet": apps.list_stateful_set_for_all_namespaces,
            "DaemonSet": apps.list_daemon_set_for_all_namespaces,
            "Pod": core.list_pod_for_all_namespaces,
        }
        self._there: dict[str, dict[tuple[str, str], Any]] = {kind: {} for kind in self._sources}
        self._changed = threading.Condition()
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[Watching]:
        """Watch for the duration of the block."""
        threads = [
            threading.Thread(target=self._follow, args=(kind,), name=f"watch-{kind}", daemon=True)
            for kind in self._sources
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop()  # daemon threads: they end with their round and delay nobody

    def stop(self) -> None:
        """End all waiting."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def workload(self, kind: str, namespace: str, name: str) -> Any | None:
        """The workload as last seen, or None."""
        with self._changed:
            return self._there[kind].get((namespace, name))

    def pods(self, namespace: str, name: str) -> Sequence[Any]:
        """The pods labelled `app.kubernetes.io/name: NAME`, those being deleted left out."""
        with self._changed:
            return [
                pod
                for (where, _), pod in self._there["Pod"].items()
                if where == namespace
                and pod.metadata.labels.get("app.kubernetes.io/name") == name
                and pod.metadata.deletion_timestamp is None
            ]

    def until(self, fact: Callable[[], bool], deadline: Deadline) -> bool:
        """Wait for `fact`, checked after every change; False when it comes late or never.

        Also False once `stop` was called.
        """
        while not fact():
            if deadline.passed or self._stop.is_set():
                return False
            with self._changed:
                self._changed.wait(min(deadline.left, _LOOK_AGAIN))
        return not deadline.passed

    def _follow(self, kind: str) -> None:
        source = self._sources[kind]
        while not self._stop.is_set():
            # whatever goes wrong with one look, the next follows after a pause
            with contextlib.suppress(client.ApiException, urllib3.exceptions.HTTPError, OSError):
                listed = source(label_selector=_SELECTOR, _request_timeout=20)
                with self._changed:
                    self._there[kind] = {_key(item): item for item in listed.items}
                    self._changed.notify_all()
                events = watch.Watch().stream(
                    source,
                    label_selector=_SELECTOR,
                    resource_version=listed.metadata.resource_version,
                    timeout_seconds=_ROUND_SECONDS,
                )
                for event in events:
                    if self._stop.is_set():
                        return
                    self._take(kind, event["type"], event["object"])
                continue
            self._stop.wait(_LOOK_AGAIN)

    def _take(self, kind: str, what: str, item: Any) -> None:
        with self._changed:
            if what == "DELETED":
                self._there[kind].pop(_key(item), None)
            elif what in ("ADDED", "MODIFIED"):
                self._there[kind][_key(item)] = item
            self._changed.notify_all()


def _key(item: Any) -> tuple[str, str]:
    return item.metadata.namespace, item.metadata.name
