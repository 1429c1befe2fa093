"""The backend's application alone: every route is guarded, every error is a problem document."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401

application = importlib.import_module("infraforge_backend.app")
access = importlib.import_module("infraforge_backend.access")
config = importlib.import_module("infraforge_backend.config")
services = importlib.import_module("infraforge_backend.services")

OPEN = {"/healthz", "/readyz", "/metrics"}
VIEWER = {
    "X-Forwarded-Subject": "id-of-vera",
    "X-Forwarded-User": "vera",
    "X-Forwarded-Groups": "viewer",
}
DEVELOPER = {
    "X-Forwarded-Subject": "id-of-devon",
    "X-Forwarded-User": "devon",
    "X-Forwarded-Groups": "developer",
}
VAULT = {
    "identity/entity/id/id-of-vera": {"name": "vera", "group_ids": ["g1"], "disabled": False},
    "identity/entity/id/id-of-devon": {"name": "devon", "group_ids": ["g2"], "disabled": False},
    "identity/entity/id/id-of-former": {"name": "former", "group_ids": ["g2"], "disabled": True},
    "identity/group/id/g1": {"name": "viewer"},
    "identity/group/id/g2": {"name": "developer"},
}


class NoCredentials:
    held = False

    def start(self, takers: Any) -> None: ...
    def stop(self) -> None: ...
    def suspect(self) -> None: ...
    def look_up(self, path: str) -> Any:
        return VAULT.get(path)


@pytest.fixture
def app() -> Any:
    return application.create(services.Services(config.Config(), NoCredentials()))


def test_every_route_has_a_rule_and_every_rule_a_route(app: Any) -> None:
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.rule not in OPEN
        for method in rule.methods - {"HEAD"}
    }
    assert routes == set(access.RULES)


@pytest.mark.parametrize("path", ["/api/me", "/api/projects", "/api/health", "/api/nothing"])
def test_without_identity_everything_is_401(app: Any, path: str) -> None:
    answer = app.test_client().get(path)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == 401
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]


def test_me_names_the_requesting_user(app: Any) -> None:
    headers = {**VIEWER, "X-Forwarded-Email": "vera@example.org"}
    answer = app.test_client().get("/api/me", headers=headers)
    assert answer.json == {
        "user": "vera",
        "email": "vera@example.org",
        "groups": ["viewer"],
        "role": "viewer",
    }


def test_without_the_database_an_answer_is_503_and_not_a_guess(app: Any) -> None:
    path = "/api/projects/00000000-0000-4000-8000-000000000000"
    answer = app.test_client().get(path, headers=VIEWER)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")


def test_process_is_alive_before_it_is_ready(app: Any) -> None:
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "credentials" in answer.json["detail"]


def test_a_role_that_is_too_low_is_403(app: Any) -> None:
    answer = app.test_client().get("/api/audit", headers=VIEWER)
    assert answer.status_code == 403
    answer = app.test_client().post("/api/projects", headers=VIEWER, json={"name": "x"})
    assert answer.status_code == 403


@pytest.mark.parametrize("name", ["former", "nobody"])
def test_disabled_or_removed_people_get_403_everywhere(app: Any, name: str) -> None:
    headers = {"X-Forwarded-Subject": f"id-of-{name}", "X-Forwarded-User": name}
    for path in ("/api/me", "/api/projects", "/api/health"):
        answer = app.test_client().get(path, headers={**headers, "X-Forwarded-Groups": "admin"})
        assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")


def test_groups_of_the_session_alone_open_nothing(app: Any) -> None:
    headers = {**VIEWER, "X-Forwarded-Groups": "admin"}
    assert app.test_client().get("/api/audit", headers=headers).status_code == 403


@pytest.mark.parametrize("limit", ["0", "201", "000000001999", "1" * 5000, "-1", "1.0", "\u0661"])
def test_the_page_size_is_bounded(app: Any, limit: str) -> None:
    answer = app.test_client().get("/api/projects", headers=VIEWER, query_string={"limit": limit})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b'{"name": 1}', 422),
        (b'{"name": " "}', 422),
        (b'{"name": "a", "owner": "b"}', 422),
        (b'{"name": "\\u0007"}', 422),
        (b'{"name": "a", "version": true}', 422),
        (b'{"name": "' + b"a" * 70_000 + b'"}', 413),
    ],
)
def test_bad_bodies_are_refused_before_anything_is_done(app: Any, body: bytes, status: int) -> None:
    headers = {**DEVELOPER, "Content-Type": "application/json"}
    answer = app.test_client().post("/api/projects", headers=headers, data=body)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


def test_request_id_of_the_ingress_is_kept_and_an_unfit_one_is_not(app: Any) -> None:
    client = app.test_client()
    kept = client.get("/healthz", headers={"X-Request-Id": "0123456789abcdef"})
    assert kept.headers["X-Request-Id"] == "0123456789abcdef"
    replaced = client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert replaced.headers["X-Request-Id"] != "a b"


def test_without_a_queue_jobs_are_not_implemented_and_nothing_is_kept_for_one(app: Any) -> None:
    path = "/api/projects/00000000-0000-4000-8000-000000000000/jobs"
    answer = app.test_client().get(path, headers=VIEWER)
    assert (answer.status_code, answer.mimetype) == (501, "application/problem+json")
    assert app.test_client().post(path, headers=DEVELOPER, json={}).status_code == 501
    assert app.test_client().post(path, headers=VIEWER, json={}).status_code == 403
    assert not app.extensions["infraforge"].outbox.enabled
