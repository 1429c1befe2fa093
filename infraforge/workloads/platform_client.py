"""The platform API as a signed-in user sees it; errors are those of BackendClient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infraforge.workloads.backend_client import BackendClient


@dataclass(frozen=True)
class ImageNow:
    """The image that a container should run (pinned) and those that it does run, as digests."""

    reference: str
    version: str
    pinned: str
    running: tuple[str, ...]


@dataclass(frozen=True)
class ComponentNow:
    """One component. most: its highest number of replicas, None where it may not be scaled."""

    name: str
    status: str
    wanted: int
    ready: int
    images: tuple[ImageNow, ...]
    trouble: tuple[str, ...]
    most: int | None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> ComponentNow:
        return cls(
            name=data["name"],
            status=data["status"],
            wanted=data["replicas"]["wanted"],
            ready=data["replicas"]["ready"],
            images=tuple(
                ImageNow(one["reference"], one["version"], one["pinned"], tuple(one["running"]))
                for one in data["images"]
            ),
            trouble=tuple(data["trouble"]),
            most=data["scale"] and data["scale"]["most"],
        )


class PlatformClient(BackendClient):
    """One user's view of `/api/platform`. For tests that need no session of their own."""

    @classmethod
    def of(cls, user: BackendClient) -> PlatformClient:
        """A client for the same user, with the same session."""
        return cls(user.session, user.origin, user.timeout)

    def components(self) -> dict[str, ComponentNow]:
        """All components by name."""
        items = self._call("GET", "/api/platform/components").json()["items"]
        return {item["name"]: ComponentNow.parse(item) for item in items}

    def component(self, name: str) -> ComponentNow:
        answer = self._call("GET", f"/api/platform/components/{name}")
        return ComponentNow.parse(answer.json())

    def scale(self, name: str, replicas: int) -> str:
        """Request this number of replicas; returns the action's id."""
        body = {"replicas": replicas}
        answer = self._call("PUT", f"/api/platform/components/{name}/scale", json=body)
        return str(answer.json()["id"])

    def restart(self, name: str) -> str:
        """Request new pods; returns the action's id."""
        answer = self._call("POST", f"/api/platform/components/{name}/restart")
        return str(answer.json()["id"])

    def registry(self) -> Mapping[str, Any]:
        """The registry's state, and the images in use."""
        registry: Mapping[str, Any] = self._call("GET", "/api/platform/registry").json()
        return registry

    def actions(self, limit: int = 50) -> Sequence[Mapping[str, str]]:
        """Who did what, newest first (admins only)."""
        answer = self._call("GET", "/api/platform/actions", params={"limit": str(limit)})
        items: Sequence[Mapping[str, str]] = answer.json()["items"]
        return items

    def description(self) -> Mapping[str, Any]:
        """The API's OpenAPI document."""
        document: Mapping[str, Any] = self._call("GET", "/api/platform/openapi.json").json()
        return document
