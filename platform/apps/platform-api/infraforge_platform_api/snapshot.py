"""All components as they are now, read from the API server namespace by namespace."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

from infraforge_platform_api import components
from infraforge_platform_api.components import Component
from infraforge_platform_api.fresh import Fresh
from infraforge_platform_api.kube import Kube

_OURS = urlencode({"labelSelector": f"{components.PART_OF}={components.PLATFORM}"})


class Snapshot:
    """The platform's components by name, at most `seconds` old; concurrent callers share a read."""

    def __init__(self, kube: Kube, namespaces: Sequence[str], seconds: float) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._pool = ThreadPoolExecutor(max(1, len(namespaces)), thread_name_prefix="look")
        self._fresh = Fresh(self._look, seconds)

    def components(self) -> dict[str, Component]:
        """Raises Unavailable if the API server does not answer, Refused if it refuses."""
        return self._fresh.get()

    def forget(self) -> None:
        """Read again next time, because something was changed."""
        self._fresh.forget()

    def addresses(self, namespace: str, name: str) -> list[str] | None:
        """The addresses of a component's pods, "" for a pod without; None: not our namespace.

        This asks the API server, not the snapshot. The answer is a quorum read of etcd. It holds a
        pod until the kubelet has ended the last of that pod's processes.
        """
        if namespace not in self._namespaces:
            return None
        found = self._list(f"/api/v1/namespaces/{namespace}/pods")
        return [
            str((pod.get("status") or {}).get("podIP") or "")
            for pod in found
            if components.belongs(pod, name)
        ]

    def _look(self) -> dict[str, Component]:
        found = [one for part in self._pool.map(self._in, self._namespaces) for one in part]
        return {one.name: one for one in sorted(found, key=lambda one: one.name)}

    def _in(self, namespace: str) -> list[Component]:
        pods = self._list(f"/api/v1/namespaces/{namespace}/pods")
        apps = f"/apis/apps/v1/namespaces/{namespace}"
        return [
            *components.of_platform("Deployment", self._list(f"{apps}/deployments"), pods),
            *components.of_platform("StatefulSet", self._list(f"{apps}/statefulsets"), pods),
        ]

    def _list(self, path: str) -> list[Any]:
        return list(self._kube.read(f"{path}?{_OURS}")["items"])
