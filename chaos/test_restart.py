"""The machine restarts: all nodes and the registry stop, and start at other addresses.

Data and sessions survive, and Vault unseals itself. `infraforge up` then repairs what needs it
(the kubelets' certificates name their addresses) and changes nothing else.
"""

from __future__ import annotations

import time

import pytest
from kubernetes import client

from infraforge import faults, stack
from infraforge.errors import Inconclusive
from infraforge.wait import wait_until
from infraforge.workloads import journey
from infraforge.workloads.backend_client import BackendClient
from infraforge.workloads.people import People

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10"),
]


def test_a_restart_of_everything_loses_nothing(platform, front_door, nemesis, evidence):
    """After a restart of everything at other addresses, users find their data and sessions."""
    devon = People(platform.site).known("devon")
    visitor = front_door.sign_in(devon.name, devon.password)
    own = BackendClient(visitor, platform.origin)
    content = b"kept over a restart" * 1000
    made = own.create_project("kept over a restart")
    own.put_file(made.id, "kept.bin", content)
    try:
        before = own.read_project(made.id)[0]
        if own.get_file(made.id, "kept.bin") != content:
            raise Inconclusive("the file was already wrong before the restart")
        proof = nemesis.inject(faults.Restart())
        began = time.monotonic()
        wait_until(
            lambda: journey.whole_way(front_door, devon),
            within=platform.profile.budgets.cluster,
            every=1.0,
            ignoring=journey.NOT_YET,
            what=f"a user can sign in and work, with Vault unsealed by itself, after {proof}",
            broken=True,
        )
        took = time.monotonic() - began
        session = visitor.ask("GET", "/api/me")
        after, kept = own.read_project(made.id)[0], own.get_file(made.id, "kept.bin")
        # a new cluster would have another UID: `up` must not create anything anew
        uid = _uid(platform)
        stack.stand_up(platform.cluster.name, platform.profile.name, keep=False)
        nemesis.heal()
        measured = _measured(platform)
        evidence.attach(
            nemesis.history,
            summary=f"{proof}\nback by itself after {took:.1f} s\nnodes measured: {measured}",
        )
        print(f"back by itself after {took:.1f} s: {proof}")
        assert session.status_code == 200, f"the session ended: {session.status_code}"
        assert after == before
        assert kept == content
        assert _uid(platform) == uid
        assert [row.name for row in platform.status() if not row.fine] == []
        # metrics-server reaches kubelets by their addresses and verifies their certificates
        assert measured == _nodes(platform)
    finally:
        own.delete_project(made.id)


def _uid(platform) -> str:
    return platform.site.core.read_namespace("kube-system").metadata.uid


def _nodes(platform) -> list[str]:
    return sorted(node.metadata.name for node in platform.site.core.list_node().items)


def _measured(platform) -> list[str]:
    """The nodes that metrics-server reports on: all of them, or those it has when time is up."""
    metrics = client.CustomObjectsApi(platform.cluster.api)

    def reported() -> list[str]:
        try:
            listed = metrics.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "nodes")
        except client.ApiException as error:
            raise Inconclusive(f"metrics-server: {error.status} {error.reason}") from error
        return sorted(item["metadata"]["name"] for item in listed["items"])

    wanted = _nodes(platform)
    try:
        wait_until(
            lambda: reported() == wanted,
            within=platform.profile.budgets.component,
            every=1.0,
            ignoring=(Inconclusive,),
            what="metrics-server reports on all nodes",
        )
    except Inconclusive:
        return reported()
    return wanted
