"""Both Redis groups and their sentinels on three nodes, with the clients that use them.

On each node is one container of interest, `pg-N` as in `fake_members`: whichever pod a fault aims
at there. Commands on nodes, cordons and deletions are that world's.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from infraforge.components.redis_members import GROUPS, SENTINEL, Members, Replica, View
from infraforge.errors import ClusterError
from infraforge.selftests import fake_members

CLIENTS = ("backend", "oauth2-proxy")


class World(fake_members.World):
    """master: number of each group's; whole: whether sentinels and replicas agree with it."""

    def __init__(self, *, bites: bool = True) -> None:
        super().__init__(bites=bites)
        self.master = dict.fromkeys(GROUPS, 0)
        self.profile = SimpleNamespace(
            components={name: {"replicas": 3} for name in (*_stores(), SENTINEL)},
            budgets=SimpleNamespace(component=0.3, cluster=0.3),
        )
        self.pods = [
            self.named(component, number)
            for component in (*_stores(), SENTINEL, *CLIENTS)
            for number in range(3)
        ]

    def named(self, component: str, number: int) -> Any:
        made = self._pod(number)
        made.metadata.name = f"{component}-{number}"
        made.metadata.namespace = "infraforge-access"
        made.spec.containers = [SimpleNamespace(name="redis")]
        made.status.container_statuses[0].name = "redis"
        made.status.pod_ip = f"10.244.{number}.{10 + len(component)}"
        return made

    def list_pod_for_all_namespaces(self, label_selector: str) -> Any:
        component = label_selector.rpartition("=")[2]
        return SimpleNamespace(
            items=[pod for pod in self.pods if pod.metadata.name.rpartition("-")[0] == component]
        )

    def delete_namespaced_pod(self, name: str, namespace: str, body: Any) -> None:
        before = list(self.pods)
        component, _, number = name.rpartition("-")
        super().delete_namespaced_pod(name, namespace, body)
        for at, pod in enumerate(self.pods):
            if pod is not before[at]:
                fresh = self.named(component, int(number))
                fresh.metadata.uid = pod.metadata.uid
                if pod.status.container_statuses is None:
                    fresh.status.container_statuses = None
                    fresh.status.conditions = pod.status.conditions
                self.pods[at] = fresh

    def _ctr(self, node: str, argv: tuple[str, ...]) -> str:
        said = super()._ctr(node, argv)
        if self.bites and argv[:2] == ("kill", "--all"):
            for pod in self.pods:
                if pod.spec.node_name == node and pod.status.container_statuses:
                    pod.status.container_statuses[0].restart_count = 1
        return said

    # Redis

    def look_at(self, group: str) -> Members:
        name, _ = GROUPS[group]
        if not self.whole:
            raise ClusterError("a member is away")
        master = f"{name}-{self.master[group]}"
        others = [f"{name}-{n}" for n in range(3) if n != self.master[group]]
        replicas = tuple(Replica(pod, master, True, 0) for pod in others)
        return Members(master, replicas, self.views(group))

    def views(self, group: str) -> tuple[View, ...]:
        master = f"{GROUPS[group][0]}-{self.master[group]}"
        return tuple(
            View(f"{SENTINEL}-{n}", master, self.master[group], frozenset({"master"}), 3, 2)
            for n in range(3)
        )

    def promote_another(self, group: str) -> None:
        if self.bites:
            self.master[group] += 1


def _stores() -> list[str]:
    return [component for component, _ in GROUPS.values()]


UNDOS_OF_SERVERS = {"reconnect", "resume-member", "together", "uncordon", "whole-group"}
"""The undos of faults that break single servers; `test_faults_servers.py` tries each."""
