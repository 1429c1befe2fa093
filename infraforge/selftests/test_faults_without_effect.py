"""Every fault with a strike that does nothing: nothing proves it, so what is judged is unknown.

Each fault is aimed as ever, at a world of the selftest that tries it; only its strike is left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infraforge import faults
from infraforge.checkers import no_request_failed, under_fault
from infraforge.components import members
from infraforge.errors import ClusterError, TimedOut
from infraforge.faults import impostor, restart
from infraforge.faults.base import Aimed, Fault, Undo
from infraforge.faults.nemesis import Nemesis
from infraforge.recorder import Recorder
from infraforge.selftests import test_faults_containers as boxes
from infraforge.selftests import test_faults_expire as expiring
from infraforge.selftests import test_faults_fill as filling
from infraforge.selftests import test_faults_logins as logins
from infraforge.selftests import test_faults_members as of_members
from infraforge.selftests import test_faults_read_only as read_only
from infraforge.selftests import test_faults_scale as scaling
from infraforge.selftests import test_faults_servers as of_servers
from infraforge.selftests import test_faults_tokens as revoking
from infraforge.verdict import Outcome

logins_there, server_there = logins.database, read_only.server
tokens_there, certificate_there = revoking.world, expiring.world
members_there, servers_there = of_members.world, of_servers.world
"""Fixtures under names of their own."""

Get = Callable[[str], Any]


class WithoutStrike:
    """The fault as it is, but for what it does."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def describe(self) -> str:
        return self.fault.describe()

    def aim(self, site: Any) -> Aimed:
        return _Idle(self.fault.aim(site))


class _Idle:
    def __init__(self, aimed: Aimed) -> None:
        self.aimed = aimed

    @property
    def lasting(self) -> bool:
        return self.aimed.lasting

    @property
    def undo(self) -> Undo:
        return self.aimed.undo

    def strike(self, site: Any) -> None:
        """Nothing."""

    def took_effect(self, site: Any) -> str:
        return self.aimed.took_effect(site)


def one_box(_: Get) -> Any:
    here = boxes.site(boxes.pod("vault-0", "1", "vault"), cluster=boxes.Node(**{"vault-id": "x"}))
    here.cluster.name = "selftest"
    return here


def machines(get: Get) -> Any:
    patch = get("monkeypatch")
    found = [
        SimpleNamespace(
            name=name, container_id=name, status="running", started=1, address=name, role=name
        )
        for name in ("control-plane", "worker")
    ]
    patch.setattr(restart, "Kind", SimpleNamespace)
    patch.setattr(restart.reboot, "machines", lambda _: found)
    patch.setattr(restart.node_containers, "inspect", lambda _: found)
    budgets = SimpleNamespace(cluster=0.1)
    return SimpleNamespace(profile=SimpleNamespace(budgets=budgets))


def service(get: Get) -> Any:
    """PostgreSQL's Service, which leads to the one that it has always led to."""
    patch = get("monkeypatch")
    own = SimpleNamespace(
        target_ref=SimpleNamespace(name="postgres-0"), conditions=SimpleNamespace(ready=True)
    )
    slices = SimpleNamespace(items=[SimpleNamespace(endpoints=[own])])
    listing = SimpleNamespace(list_namespaced_endpoint_slice=lambda *_, **__: slices)
    patch.setattr(impostor.client, "DiscoveryV1Api", lambda _: listing)
    patch.setattr(impostor, "python_image", lambda _: "python")
    patch.setattr(members, "of", lambda _: ["postgres-0"])
    patch.setattr(faults.roles, "pod_of", lambda *_: "postgres-1")
    spec = SimpleNamespace(selector={"app.kubernetes.io/name": "postgres"})
    core = SimpleNamespace(read_namespaced_service=lambda *_: SimpleNamespace(spec=spec))
    return SimpleNamespace(core=core, profile=None)


def a_folder(get: Get) -> Any:
    here = filling.World()
    get("monkeypatch").setattr(faults.fill.targets, "find", lambda *_: filling.TARGET)
    return here


World = Callable[[Get], Any]
OTHERS: Mapping[str, tuple[Fault, World]] = {
    "pause": (faults.Pause("vault"), one_box),
    "kill pod": (faults.KillPod("vault"), one_box),
    "kill container": (faults.KillContainer("vault"), one_box),
    "fill": (faults.Fill("login", 3), a_folder),
    "impostor": (faults.Impostor(known=True), service),
    "mislead": (faults.Mislead(), service),
    "logins end": (faults.LoginsEnd(), lambda get: get("logins_there") and SimpleNamespace()),
    "read only": (faults.ReadOnly(), lambda get: get("server_there") and SimpleNamespace()),
    "restart": (faults.Restart(), machines),
    "scale": (
        faults.ScaledToNothing("backend"),
        lambda _: scaling.site(scaling.backend(), backend=1),
    ),
    "tokens": (faults.TokensRevoked("backend"), lambda get: get("tokens_there")),
    "certificate": (
        faults.CertificateExpired("redis-cache"),
        lambda get: get("certificate_there"),
    ),
}
EVERY: Mapping[str, tuple[Fault, World]] = OTHERS | {
    name: (fault, lambda get: get("members_there")()) for name, fault in of_members.EVERY.items()
}
EVERY = EVERY | {
    name: (fault, lambda get: get("servers_there")()) for name, fault in of_servers.EVERY.items()
}


@pytest.fixture
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[World], Any]:
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))

    def made(world: World) -> Any:
        here = world(request.getfixturevalue)
        if getattr(here, "cluster", None) is None:
            here.cluster = SimpleNamespace(name="selftest", api=None)
        return here

    return made


def test_every_fault_is_tried_here() -> None:
    known = {
        value
        for name in faults.__all__
        if inspect.isclass(value := getattr(faults, name)) and hasattr(value, "aim")
    }
    assert known == {type(fault) for fault, _ in EVERY.values()}


@pytest.mark.parametrize("name", EVERY)
def test_a_strike_that_does_nothing_is_never_proven(
    place: Callable[[World], Any], name: str
) -> None:
    fault, world = EVERY[name]
    nemesis = Nemesis(place(world), proven_within=0.05)
    with pytest.raises(TimedOut, match="took effect"):
        nemesis.inject(WithoutStrike(fault))
    [struck] = nemesis.history.faults
    assert struck.outcome == "info"


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_judged_under_it_is_unknown(place: Callable[[World], Any], name: str) -> None:
    """Though every request went well: that says nothing of a fault that was none."""
    fault, world = EVERY[name]
    clients = Recorder()
    nemesis = Nemesis(place(world), proven_within=0.05)
    with clients.call("a", "read") as call:
        call.ok()
    with pytest.raises((TimedOut, ClusterError)):
        nemesis.inject(WithoutStrike(fault))
    with clients.call("a", "read") as call:
        call.ok()
    seen = clients.history + nemesis.history
    assert no_request_failed(seen).outcome is Outcome.HOLDS
    verdict = under_fault(no_request_failed)(seen)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "nothing proves that it took effect" in verdict.explanation
