"""The platform API's application alone: who may call it, what it refuses, what it records."""

from __future__ import annotations

import copy
import importlib
import json
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401
from infraforge.workloads import described

application = importlib.import_module("infraforge_platform_api.app")
access = importlib.import_module("infraforge_platform_api.access")
config = importlib.import_module("infraforge_platform_api.config")
kube = importlib.import_module("infraforge_platform_api.kube")
limits = importlib.import_module("infraforge_platform_api.limits")
openapi = importlib.import_module("infraforge_platform_api.openapi")
problems = importlib.import_module("infraforge_shared.problems")
services = importlib.import_module("infraforge_platform_api.services")

BACKEND = "system:serviceaccount:infraforge-application:backend"
DIGEST = "sha256:" + "1" * 64
OPEN = {"/healthz", "/readyz"}


def headers(role: str = "admin", user: str = "ada", word: str = "the backend's") -> dict[str, str]:
    named = {"X-Forwarded-User": user, "X-Forwarded-Groups": role} if user else {}
    return {"Authorization": f"Bearer {word}", **named}


class Cluster:
    """An API server with two components; remembers what it was told to change."""

    def __init__(self) -> None:
        self.book: dict[str, str] = {}
        self.changes: list[tuple[str, Any]] = []
        self.refuses: Exception | None = None
        self.book_is_away = False
        self.ready = 1

    def read(self, path: str) -> dict[str, Any]:
        if "/configmaps/" in path:
            return {"data": dict(self.book)}
        kind = path.partition("?")[0].rpartition("/")[2]
        if kind == "pods":
            return {"items": PODS}
        return {"items": [self._workload(name) for name in COMPONENTS.get(kind, ())]}

    def merge(self, path: str, change: Any) -> dict[str, Any]:
        if "/configmaps/" in path:
            if self.book_is_away:
                raise problems.Unavailable("away")
            self.book = {k: v for k, v in {**self.book, **change["data"]}.items() if v is not None}
            return {}
        if self.refuses:
            raise self.refuses
        self.changes.append((path, change))
        return {}

    def create(self, _path: str, body: Any) -> dict[str, Any]:
        """TokenReview: a token that is "the backend's" is, one that starts so is for another."""
        token, audiences = body["spec"]["token"], body["spec"]["audiences"]
        if token == "the backend's, for vault":
            return {"status": {"authenticated": False}}
        name = BACKEND if token == "the backend's" else f"system:serviceaccount:x:{token}"
        user = {"username": name}
        return {"status": {"authenticated": True, "audiences": audiences, "user": user}}

    def _workload(self, name: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "infraforge"}
        box = {"name": name, "image": f"ghcr.io/x/{name}:1@{DIGEST}"}
        status = {"replicas": 1, "readyReplicas": self.ready, "updatedReplicas": self.ready}
        return {
            "metadata": {"name": name, "namespace": "layer", "generation": 0, "labels": labels},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [box]}}},
            "status": status,
        }

    @property
    def actions(self) -> list[Any]:
        return [json.loads(text) for _, text in sorted(self.book.items())]


def _pod(name: str, **status: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "infraforge"}
    return {"metadata": {"name": f"{name}-0", "labels": labels}, "status": status}


PODS = [_pod("vault", podIP="10.0.0.7"), _pod("vault"), _pod("sealed", podIP="10.0.0.8")]
COMPONENTS = {"deployments": ("login",), "statefulsets": ("vault", "sealed")}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def app(cluster: Cluster) -> Any:
    allowed = limits.Limits({"login": 3}, frozenset({"login", "vault"}))
    chosen = config.Config(namespaces="layer", actions_kept=5, snapshot_seconds=0)
    return application.create(services.Services(chosen, cluster, allowed))


@pytest.fixture
def client(app: Any) -> Any:
    return app.test_client()


def test_every_route_has_a_rule_and_every_rule_a_route_and_a_description(app: Any) -> None:
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.rule not in OPEN
        for method in rule.methods - {"HEAD"}
    }
    described_routes = {
        (method.upper(), path.replace("{name}", "<name>"))
        for path, operations in openapi.document()["paths"].items()
        for method in operations
    }
    assert routes == set(access.RULES) | access.OWN
    assert set(access.RULES) == described_routes


def test_the_backend_itself_is_told_the_addresses_of_pods(client: Any) -> None:
    word = {"Authorization": "Bearer the backend's"}
    answer = client.get("/pods/layer/vault", headers=word)
    assert (answer.status_code, answer.json) == (200, {"addresses": ["10.0.0.7", ""]})
    assert client.get("/pods/layer/login", headers=word).json == {"addresses": []}


@pytest.mark.parametrize(
    ("path", "method", "sent", "status"),
    [
        ("/pods/kube-system/vault", "GET", headers(user=""), 404),
        ("/pods/layer/vault?limit=1", "GET", headers(user=""), 422),
        ("/pods/layer/vault", "GET", headers(user="", word="frontend"), 401),
        ("/pods/layer/vault", "GET", {}, 401),
        ("/pods/layer/vault", "POST", headers(user=""), 401),
        ("/pods/layer/vault", "POST", headers(), 405),
    ],
)
def test_no_other_request_about_pods_is_answered(
    client: Any, path: str, method: str, sent: dict[str, str], status: int
) -> None:
    assert client.open(path, method=method, headers=sent).status_code == status


def test_the_backend_has_the_same_rules() -> None:
    backend = importlib.import_module("infraforge_backend.access")
    passed_on = {
        key: rule.name for key, rule in backend.RULES.items() if key[1].startswith("/api/platform/")
    }
    assert passed_on == {key: rule.name for key, rule in access.RULES.items()}


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "admin"},
        {**headers(), "Authorization": "Basic YWRhOmFkYQ=="},
        {**headers(), "Authorization": "Bearer "},
        headers(word="frontend"),
        headers(word="the backend's, for vault"),
        headers(user=""),
    ],
)
def test_callers_other_than_the_backend_or_without_user_get_401(client: Any, sent: Any) -> None:
    for path in ("components", "actions", "openapi.json", "nothing"):
        answer = client.get(f"/api/platform/{path}", headers=sent)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert client.get("/api/platform/components", headers=headers()).status_code == 200


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        ("admin", [200, 200, 202, 202]),
        ("developer", [200, 403, 403, 403]),
        ("viewer", [200, 403, 403, 403]),
        ("guest", [403, 403, 403, 403]),
    ],
)
def test_roles_are_enforced_here_as_well(
    client: Any, cluster: Cluster, role: str, statuses: list[int]
) -> None:
    sent = headers(role)
    place = "/api/platform/components/login"
    answers = [
        client.get("/api/platform/components", headers=sent),
        client.get("/api/platform/actions", headers=sent),
        client.put(f"{place}/scale", headers=sent, json={"replicas": 2}),
        client.post(f"{place}/restart", headers=sent),
    ]
    assert [answer.status_code for answer in answers] == statuses
    assert bool(cluster.changes) == bool(cluster.book) == (role == "admin")


def test_a_change_is_written_down_before_and_after(client: Any, cluster: Cluster) -> None:
    sent = {**headers(), "X-Request-Id": "0123456789abcdef"}
    client.put("/api/platform/components/login/scale", headers=sent, json={"replicas": 3})
    path, change = cluster.changes[0]
    assert path == "/apis/apps/v1/namespaces/layer/deployments/login/scale"
    assert change == {"spec": {"replicas": 3}}
    kept = client.get("/api/platform/actions", headers=sent).json["items"]
    assert [(a["actor"], a["role"], a["action"], a["component"], a["detail"]) for a in kept] == [
        ("ada", "admin", "scale", "login", "replicas 1 to 3")
    ]
    assert (kept[0]["outcome"], kept[0]["request_id"]) == ("done", "0123456789abcdef")


def test_an_action_that_cannot_be_recorded_is_not_done(client: Any, cluster: Cluster) -> None:
    cluster.book_is_away = True
    answer = client.post("/api/platform/components/login/restart", headers=headers())
    assert (answer.status_code, cluster.changes) == (503, [])


def test_outcomes_are_told_apart(client: Any, cluster: Cluster) -> None:
    seen = []
    for error in (
        kube.Refused(422, "no"),
        problems.OutcomeUnknown(),
        problems.Unavailable("away"),
        None,
    ):
        cluster.refuses = error
        answer = client.post("/api/platform/components/vault/restart", headers=headers())
        seen.append((answer.status_code, cluster.actions[-1]["outcome"]))
    assert seen == [(409, "failed"), (503, "unknown"), (503, "failed"), (202, "done")]


def test_the_log_of_actions_keeps_the_latest_and_is_paged(client: Any, cluster: Cluster) -> None:
    for _ in range(7):
        client.post("/api/platform/components/login/restart", headers=headers())
    assert len(cluster.book) == 5
    first = client.get("/api/platform/actions?limit=3", headers=headers()).json
    rest = client.get(f"/api/platform/actions?before={first['next']}", headers=headers()).json
    ids = [item["id"] for item in (*first["items"], *rest["items"])]
    assert ids == sorted(cluster.book, reverse=True)
    assert (len(first["items"]), rest["next"]) == (3, None)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("login", b'{"replicas": 0}', 422),
        ("login", b'{"replicas": 4}', 422),
        ("login", b'{"replicas": -1}', 422),
        ("login", b'{"replicas": 1e400}', 422),
        ("login", b'{"replicas": 2.0}', 422),
        ("login", b'{"replicas": true}', 422),
        ("login", b'{"replicas": "2"}', 422),
        ("login", b'{"replicas": 2, "force": true}', 422),
        ("login", b"{}", 422),
        ("login", b"[2]", 422),
        ("login", b"{", 400),
        ("login", b"\xff", 400),
        ("login", b"[" * 10_000, 400),
        ("login", b" " * 20_000, 413),
        ("vault", b'{"replicas": 2}', 409),
        ("nobody", b'{"replicas": 2}', 404),
        ("../../x", b'{"replicas": 2}', 404),
    ],
)
def test_bad_changes_are_refused_before_anything_is_done(
    client: Any, cluster: Cluster, name: str, body: bytes, status: int
) -> None:
    sent = {**headers(), "Content-Type": "application/json"}
    answer = client.put(f"/api/platform/components/{name}/scale", headers=sent, data=body)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert (cluster.changes, cluster.book) == ([], {})


def test_a_restart_is_refused_while_one_is_under_way_or_where_none_is_allowed(
    client: Any, cluster: Cluster
) -> None:
    place = "/api/platform/components"
    assert client.post(f"{place}/sealed/restart", headers=headers()).status_code == 409
    cluster.ready = 0  # and so none is of the present version
    assert client.post(f"{place}/login/restart", headers=headers()).status_code == 409
    assert cluster.changes == []


def test_a_restart_changes_one_annotation(client: Any, cluster: Cluster) -> None:
    client.post("/api/platform/components/vault/restart", headers=headers())
    ((path, change),) = cluster.changes
    assert path == "/apis/apps/v1/namespaces/layer/statefulsets/vault"
    (name,) = change["spec"].pop("template")["metadata"]["annotations"]
    assert (name, change) == ("kubectl.kubernetes.io/restartedAt", {"spec": {}})


def test_answers_are_as_described_whatever_is_asked(app: Any) -> None:
    """Every operation, with what the description allows and with what it does not."""
    result = described.ask(
        openapi.document(),
        lambda case: case.call(app=app, headers=headers()),
        seed=1,
        examples=10,
        methods=("GET", "PUT", "POST"),
        known={"name": ["login", "vault", "sealed"]},
    )
    assert not result.complaints, str(result)
    assert result.statuses
    assert all({200, 202} & set(counted) for counted in result.statuses.values()), str(result)


def test_a_description_that_is_not_kept_is_noticed(app: Any) -> None:
    told = copy.deepcopy(openapi.document())
    told["components"]["schemas"]["Component"]["properties"]["restarts"] = {"type": "string"}
    result = described.ask(
        told, lambda case: case.call(app=app, headers=headers()), seed=1, examples=3
    )
    assert "/api/platform/components" in result.complaints[0]
