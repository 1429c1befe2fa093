"""Revoking a component's tokens, against a Vault and pods that are made of a few values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import hvac
import pytest

from infraforge import faults
from infraforge.components import containers
from infraforge.errors import ClusterError
from infraforge.faults import tokens as revoking
from infraforge.probes import tokens


class World(SimpleNamespace):
    """tokens: accessor → policies; deleted: pods; stubborn: signs in only as a new pod."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {"a": ["backend"], "b": ["backend"], "c": ["operator"], "d": ["worker"]}
        self.deleted: list[str] = []
        self.stubborn = False
        token = SimpleNamespace(
            list_accessors=lambda: {"data": {"keys": [*self.tokens, "ended"]}},
            lookup_accessor=self.look,
            revoke_accessor=self.tokens.pop,
        )
        client = SimpleNamespace(auth=SimpleNamespace(token=token))
        self.vault = lambda: client
        self.core = SimpleNamespace(delete_namespaced_pod=self.delete)
        self.profile = SimpleNamespace(budgets=SimpleNamespace(component=1.0))

    def look(self, accessor: str) -> dict[str, Any]:
        if accessor not in self.tokens:
            raise hvac.exceptions.InvalidRequest("invalid accessor")
        return {"data": {"policies": self.tokens[accessor]}}

    def delete(self, name: str, namespace: str) -> None:
        self.deleted.append(name)
        self.tokens["new"] = ["backend"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    ready = SimpleNamespace(conditions=[SimpleNamespace(type="Ready", status="True")])
    names = SimpleNamespace(name="backend-1", namespace="infraforge-application")
    pod = SimpleNamespace(metadata=names, status=ready)
    monkeypatch.setattr(containers, "pods", lambda site, component, **_: [pod])
    monkeypatch.setattr(revoking, "_SIGNS_IN_WITHIN", 0.2)
    return World()


def test_the_components_tokens_are_revoked_and_no_others(world: Any) -> None:
    aimed = faults.TokensRevoked("backend").aim(world)
    assert aimed.took_effect(world) == ""
    aimed.strike(world)
    assert set(world.tokens) == {"c", "d"}
    assert aimed.took_effect(world) == "none of 2 tokens is there any more"
    world.tokens["e"] = ["backend"]
    assert aimed.took_effect(world), "a new one is no sign of the old ones"
    aimed.undo.perform(world)
    assert world.deleted == []
    assert tokens.held(world, "backend") == {"e"}


def test_one_that_does_not_sign_in_anew_is_replaced(world: Any) -> None:
    aimed = faults.TokensRevoked("backend").aim(world)
    aimed.strike(world)
    aimed.undo.perform(world)
    assert world.deleted == ["backend-1"]


def test_without_a_token_nothing_is_struck(world: Any) -> None:
    with pytest.raises(ClusterError, match="holds no token"):
        faults.TokensRevoked("nobody").aim(world)
