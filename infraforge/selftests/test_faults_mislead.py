"""Leading PostgreSQL's Service astray and back, against an API server of a few values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import faults
from infraforge.components.postgres import Postgres
from infraforge.errors import ClusterError
from infraforge.faults import mislead, roles

OWN = {"app.kubernetes.io/name": "postgres", "role": "primary"}
LABELS: dict[str, dict[str, str]] = {
    f"postgres-{number}": {
        "app.kubernetes.io/name": "postgres",
        "role": role,
        mislead.POD_NAME: f"postgres-{number}",
    }
    for number, role in enumerate(("primary", "replica", "replica"))
}


class World(SimpleNamespace):
    """A Service with its selector, and what it leads to; ended: whether sessions were ended."""

    def __init__(self) -> None:
        super().__init__(selector=dict(OWN), ended=False, api=None)
        self.cluster = self.core = self

    def read_namespaced_service(self, name: str, namespace: str) -> Any:
        assert (name, namespace) == ("postgres", "infraforge-data")
        return SimpleNamespace(spec=SimpleNamespace(selector=self.selector))

    def patch_namespaced_service(self, name: str, namespace: str, body: Any) -> None:
        merged = {**self.selector, **body["spec"]["selector"]}  # null takes a key away
        self.selector = {key: value for key, value in merged.items() if value is not None}

    def list_namespaced_endpoint_slice(self, namespace: str, label_selector: str) -> Any:
        ready = SimpleNamespace(ready=True)
        led = [
            SimpleNamespace(target_ref=SimpleNamespace(name=pod), conditions=ready)
            for pod, labels in LABELS.items()
            if self.selector.items() <= labels.items()
        ]
        return SimpleNamespace(items=[SimpleNamespace(endpoints=led)])

    def execute(self, query: str) -> None:
        assert self.selector != OWN, "sessions would begin anew where they were"
        self.ended = "pg_terminate_backend" in query


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    here = World()

    @contextlib.contextmanager
    def connect(self: Postgres, site: Any) -> Iterator[Any]:
        yield here

    monkeypatch.setattr(Postgres, "connect", connect)
    monkeypatch.setattr(roles, "pod_of", lambda *_: "postgres-1")
    monkeypatch.setattr(mislead.client, "DiscoveryV1Api", lambda _: here)
    return here


def test_the_service_leads_to_the_standby_alone_and_back(world: Any) -> None:
    aimed = faults.Mislead().aim(world)
    assert aimed.took_effect(world) == ""
    aimed.strike(world)
    assert world.ended
    assert aimed.took_effect(world) == "Service postgres leads to postgres-1"
    again = faults.LeadBack.restored(aimed.undo.parameters)
    again.perform(world)
    assert world.selector == OWN
    again.perform(world)  # safe to repeat
    assert world.selector == OWN


def test_one_that_is_led_astray_already_is_left_alone(world: Any) -> None:
    faults.Mislead().aim(world).strike(world)
    with pytest.raises(ClusterError, match="infraforge heal"):
        faults.Mislead().aim(world)
