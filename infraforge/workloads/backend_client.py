"""The backend's API as a signed-in user sees it: typed methods over a requests.Session.

    ApiError              the backend, or the front door, answered with an error; carries status
    ├── Refused           4xx: certainly not done
    └── Unknown           5xx or no answer: it may or may not be done

A workload records Refused as *fail* and Unknown as *info*.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import IO, Any, TypeVar

import requests

T = TypeVar("T")
Bytes = bytes | IO[bytes] | Iterable[bytes]


class ApiError(Exception):
    """An error answer. status: the HTTP status, 0 where there was no answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status or 'no answer'}: {text[:300]}")
        self.status = status


class Refused(ApiError):
    """4xx: certainly not done."""


class Unknown(ApiError):
    """5xx, a redirect or no answer: it may or may not be done."""


@dataclass(frozen=True)
class Project:
    """A project. version: 1 when new, plus one for each change; times in ISO 8601."""

    id: str
    name: str
    description: str
    version: int
    created_by: str
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class FileInfo:
    """A file in a listing. size: bytes; sha256: hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Job:
    """A job. state: queued, done or dead; result: if it is done; error: why, if it is dead."""

    id: str
    kind: str
    file: str | None
    state: str
    error: str
    result: Mapping[str, Any] | None


@dataclass(frozen=True)
class Me:
    """The requesting user, according to the backend."""

    user: str
    email: str
    groups: tuple[str, ...]
    role: str


@dataclass(frozen=True)
class ComponentHealth:
    """A dependency as the backend sees it. latency_ms: None where it did not answer."""

    name: str
    status: str
    detail: str
    latency_ms: float | None


class BackendClient:
    """One user's view of the backend through the front door.

    session: signed in, with verification set; origin: e.g. `https://127.0.0.1:8443`;
    timeout: seconds for one call. A session is not thread-safe: use one client per thread.
    """

    def __init__(self, session: requests.Session, origin: str, timeout: float = 30.0) -> None:
        self.session = session
        self.origin = origin.rstrip("/")
        self.timeout = timeout

    def me(self) -> Me:
        data = self._call("GET", "/api/me").json()
        return Me(data["user"], data["email"], tuple(data["groups"]), data["role"])

    def health(self) -> dict[str, ComponentHealth]:
        """The backend's dependencies by name."""
        items = self._call("GET", "/api/health").json()["components"]
        return {item["name"]: _make(ComponentHealth, item) for item in items}

    def projects(self) -> list[Project]:
        """All projects, latest first, from every page of the listing."""
        projects: list[Project] = []
        query: dict[str, str] = {"limit": "200"}
        while True:
            page = self._call("GET", "/api/projects", params=query).json()
            projects += [_make(Project, item) for item in page["items"]]
            if page["next"] is None:
                return projects
            query["after"] = page["next"]

    def create_project(self, name: str, description: str = "") -> Project:
        body = {"name": name, "description": description}
        return _make(Project, self._call("POST", "/api/projects", json=body).json())

    def read_project(self, project_id: str) -> tuple[Project, str]:
        """The project, and how the backend got it: cache hit, miss or bypass."""
        answer = self._call("GET", f"/api/projects/{project_id}")
        return _make(Project, answer.json()), answer.headers["X-Cache"]

    def update_project(
        self, project_id: str, name: str, description: str = "", version: int | None = None
    ) -> Project:
        """Change the project; with `version`, only while it has that one (else Refused, 409)."""
        body: dict[str, Any] = {"name": name, "description": description}
        if version is not None:
            body["version"] = version
        return _make(Project, self._call("PUT", f"/api/projects/{project_id}", json=body).json())

    def delete_project(self, project_id: str) -> None:
        self._call("DELETE", f"/api/projects/{project_id}")

    def files(self, project_id: str) -> tuple[list[FileInfo], str]:
        """The project's files by name, and how the backend got them: cache hit, miss or bypass."""
        answer = self._call("GET", f"/api/projects/{project_id}/files")
        return [_make(FileInfo, item) for item in answer.json()["items"]], answer.headers["X-Cache"]

    def put_file(self, project_id: str, name: str, data: Bytes) -> FileInfo:
        """Store the file; returns what the backend says it stored."""
        answer = self._call("PUT", _file(project_id, name), data=data)
        return _make(FileInfo, answer.json())

    def get_file(self, project_id: str, name: str) -> bytes:
        return self._call("GET", _file(project_id, name)).content

    def delete_file(self, project_id: str, name: str) -> None:
        self._call("DELETE", _file(project_id, name))

    def create_job(self, project_id: str, body: Mapping[str, Any]) -> Job:
        """Request a job: `kind`, `file` for a checksum, and `id` where the client chooses it."""
        answer = self._call("POST", f"/api/projects/{project_id}/jobs", json=dict(body))
        return _make(Job, answer.json())

    def read_job(self, project_id: str, job_id: str) -> Job:
        return _make(Job, self._call("GET", f"/api/projects/{project_id}/jobs/{job_id}").json())

    def jobs(self, project_id: str) -> list[Job]:
        """All jobs of the project, latest first, from every page of the listing."""
        jobs: list[Job] = []
        query: dict[str, str] = {"limit": "200"}
        while True:
            page = self._call("GET", f"/api/projects/{project_id}/jobs", params=query).json()
            jobs += [_make(Job, item) for item in page["items"]]
            if page["next"] is None:
                return jobs
            query["after"] = page["next"]

    def audit(self, limit: int = 50) -> list[dict[str, Any]]:
        """The latest rows of the audit log, newest first (admins only)."""
        answer = self._call("GET", "/api/audit", params={"limit": str(limit)})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def _call(self, method: str, path: str, **rest: Any) -> requests.Response:
        try:
            answer = self.session.request(
                method,
                self.origin + path,
                timeout=self.timeout,
                allow_redirects=False,  # a redirect to the login page is an answer
                verify=self.session.verify,  # repeated: the environment would override it
                **rest,
            )
        except requests.RequestException as error:
            raise Unknown(0, f"{type(error).__name__}: {error}") from error
        if answer.ok and not answer.is_redirect:
            return answer
        refused = 400 <= answer.status_code < 500
        raise (Refused if refused else Unknown)(answer.status_code, answer.text)


def _file(project_id: str, name: str) -> str:
    return f"/api/projects/{project_id}/files/{urllib.parse.quote(name, safe='')}"


def _make(kind: type[T], data: Mapping[str, Any]) -> T:
    """Build the value from the fields it knows; a newer backend may send more."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in data.items() if key in known})
