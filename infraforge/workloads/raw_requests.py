"""Requests that no client of ours would make: any body, any content type, any path.

Where `BackendClient` says what a user wants done, these send what is given as it is given.
"""

from __future__ import annotations

import string
import uuid
from typing import Final

import requests

from infraforge.workloads.visitor import Visitor

MARK: Final = f"mark{uuid.UUID(int=7).hex}"
"""Stands in bodies that are sent, and must not appear in any log."""
SQL: Final = (
    "'; DROP TABLE projects; --",
    "' OR '1'='1",
    "1); DELETE FROM audit; --",
    "x' UNION SELECT rolname, rolpassword FROM pg_authid --",
    "$$; SELECT pg_sleep(30); $$",
    "\\'; COPY projects TO PROGRAM 'id'; --",
    "%(id)s %s {0} ${name}",
)
"""Texts that do harm wherever they are executed instead of stored."""

_UNESCAPED = string.ascii_letters + string.digits + "-._~"


def send(
    visitor: Visitor, method: str, path: str, body: bytes, kind: str = "application/json"
) -> requests.Response:
    """Send the body with this content type, or with none for ""."""
    headers = {"Content-Type": kind} if kind else {}
    return visitor.ask(method, path, data=body, headers=headers)


def as_is(visitor: Visitor, method: str, path: str, body: bytes | None = None) -> requests.Response:
    """Send the path exactly as given: requests would normalize it."""
    request = visitor.prepare_request(requests.Request(method, visitor.origin + "/", data=body))
    request.url = visitor.origin + path
    return visitor.send(request, timeout=visitor.timeout, allow_redirects=False)


def file_path(project_id: str, name: str) -> str:
    """The path of a file; every byte of its name is escaped unless it never needs to be."""
    escaped = "".join(
        letter if letter in _UNESCAPED else "".join(f"%{byte:02X}" for byte in letter.encode())
        for letter in name
    )
    return f"/api/projects/{project_id}/files/{escaped}"
