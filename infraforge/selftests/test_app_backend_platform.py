"""The backend's calls of the platform API: what it forwards, for whom, and what it returns."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from infraforge.selftests import apps  # noqa: F401

application = importlib.import_module("infraforge_backend.app")
config = importlib.import_module("infraforge_backend.config")
services = importlib.import_module("infraforge_backend.services")

PLACE = "/api/platform/components"


class NoCredentials:
    """Vault, where everybody is Zoë, and in the groups that the entity's number lists."""

    held = False

    def start(self, takers: Any) -> None: ...
    def stop(self) -> None: ...
    def suspect(self) -> None: ...

    def look_up(self, path: str) -> Any:
        kind, _, name = path.removeprefix("identity/").partition("/id/")
        if kind == "group":
            return {"name": name}
        return {"name": "zoë", "group_ids": name.split("-"), "disabled": False}


class Pool:
    """Stands for the connections: remembers what was sent, and answers or fails as told."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.answers: Any = SimpleNamespace(
            status=200, headers={"Content-Type": "application/json", "Server": "x"}, data=b"{}"
        )

    def request(self, method: str, url: str, **rest: Any) -> Any:
        self.sent.append(SimpleNamespace(method=method, url=url, **rest))
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def client(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "token").write_text("the kubelet's\n")
    monkeypatch.setattr(urllib3, "PoolManager", lambda **_: pool)
    chosen = config.Config(
        platform_api_address="https://platform-api", platform_api_token_file=f"{tmp_path}/token"
    )
    return application.create(services.Services(chosen, NoCredentials())).test_client()


def headers(groups: str, **more: str) -> dict[str, str]:
    return {
        "X-Forwarded-Subject": groups.replace(",", "-"),
        "X-Forwarded-User": "zoë".encode().decode("latin-1"),
        "X-Forwarded-Groups": groups,
    } | more


def test_the_users_identity_is_passed_on_with_the_pods_token(client: Any, pool: Pool) -> None:
    own = {"Authorization": "Bearer mine", "X-Request-Id": "0123456789abcdef", "Cookie": "s=1"}
    answer = client.get(f"{PLACE}?a=%2F%20b&c", headers=headers("viewer,x", **own))
    (sent,) = pool.sent
    assert (sent.method, sent.url) == ("GET", f"https://platform-api{PLACE}?a=%2F%20b&c")
    assert sent.headers == {
        "Authorization": "Bearer the kubelet's",
        "X-Forwarded-User": "zoë".encode().decode("latin-1"),
        "X-Forwarded-Groups": "viewer,x",
        "X-Request-Id": "0123456789abcdef",
        "Accept": "application/json",
    }
    assert (answer.status_code, answer.data, answer.headers.get("Server")) == (200, b"{}", None)


@pytest.mark.parametrize(
    ("groups", "status"), [("admin", 200), ("developer", 403), ("viewer", 403)]
)
def test_only_admins_changes_are_passed_on(
    client: Any, pool: Pool, groups: str, status: int
) -> None:
    body = {"replicas": 2}
    answer = client.put(f"{PLACE}/login/scale", headers=headers(groups), json=body)
    assert answer.status_code == status
    assert [sent.body for sent in pool.sent] == ([b'{"replicas": 2}'] if status == 200 else [])


@pytest.mark.parametrize("name", ["..", "a%2Fb", "A", "a b", "%00", "\u00e4", "a" * 64])
def test_an_impossible_name_is_not_passed_on(client: Any, pool: Pool, name: str) -> None:
    answer = client.get(f"{PLACE}/{name}", headers=headers("admin"))
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert pool.sent == []


def test_no_request_line_can_be_broken(client: Any, pool: Pool) -> None:
    client.get(PLACE, query_string='a= "\r\nX: y\u00e4', headers=headers("viewer"))
    assert all(32 < ord(character) < 127 for character in pool.sent[0].url)


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (urllib3.exceptions.ProtocolError("cut"), True),
        (urllib3.exceptions.ReadTimeoutError(None, "", ""), True),  # type: ignore[arg-type]
        (urllib3.exceptions.NewConnectionError(None, ""), False),  # type: ignore[arg-type]
    ],
)
def test_no_answer_is_503_with_what_is_known(
    client: Any, pool: Pool, error: Exception, unknown: bool
) -> None:
    pool.answers = error
    read = client.get(PLACE, headers=headers("admin"))
    changed = client.post(f"{PLACE}/login/restart", headers=headers("admin"))
    assert (read.status_code, changed.status_code) == (503, 503)
    assert "unknown" not in read.json["detail"]
    assert ("unknown" in changed.json["detail"]) == unknown


def test_a_rejected_token_signs_nobody_out(client: Any, pool: Pool) -> None:
    """The platform API's 401 is about this pod; the user's session is in order."""
    pool.answers = SimpleNamespace(status=401, headers={}, data=b"")
    assert client.get(PLACE, headers=headers("viewer")).status_code == 503
