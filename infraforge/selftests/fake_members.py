"""Three members of PostgreSQL on three nodes, made of a few values: what faults do to them shows.

`bites` is whether anything that is asked for happens; where it is False, a fault does nothing.
"""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

from kubernetes import client

from infraforge.cluster.node_containers import NodeContainer
from infraforge.components.patroni import Members
from infraforge.errors import ClusterError
from infraforge.selftests.test_faults_containers import pod

STARTED = "Sat Nov 28 00:00:00 2026"
POSTGRES = "/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/data --config-file=x"


def line(pid: int, parent: int, command: str, state: str = "Sl") -> str:
    return f"{pid:7d} {parent:7d} {state:4s} {STARTED} {command}"


class World:
    """The site, its cluster, its API server and Docker in one; asked: commands on nodes."""

    def __init__(self, *, bites: bool = True) -> None:
        self.bites = bites
        self.name, self.api, self.folder = "selftest", None, None
        self.cluster = self.core = self
        self.profile = SimpleNamespace(
            components={"postgres": {"replicas": 3}},
            budgets=SimpleNamespace(component=0.3, cluster=0.3),
        )
        self.leading = "postgres-0"
        self.whole = True
        self.asked: list[tuple[str, ...]] = []
        self.cordoned: dict[str, Any] = {}
        self.pods = [self._pod(number) for number in range(3)]
        self.tasks = {f"node-{n}": "RUNNING" for n in range(3)}
        self.chains = {f"node-{n}": ["-P INPUT ACCEPT", "-P OUTPUT ACCEPT"] for n in range(3)}
        self.lines = {
            f"node-{n}": [
                line(1, 0, "/sbin/init"),
                line(1000 + n, 900, "/usr/bin/python3 /usr/bin/patroni /etc/patroni"),
                line(1010 + n, 1000 + n, "/usr/bin/python3 /usr/bin/patroni /etc/patroni"),
                line(1020 + n, 1000 + n, POSTGRES),
                line(1030 + n, 1020 + n, "postgres: postgres: checkpointer"),
                line(2000, 1, "/usr/local/bin/other -D /x"),
            ]
            for n in range(3)
        }
        self.containers = {
            f"node-{n}": SimpleNamespace(status="running", address=f"172.18.0.{n + 3}")
            for n in range(3)
        }
        self.serves_addresses = True
        self.comes_back_at = ""

    def _pod(self, number: int) -> Any:
        made = pod(f"postgres-{number}", f"uid-{number}", "postgres")
        made.spec.node_name = f"node-{number}"
        made.status.pod_ip = f"10.244.{number}.9"
        made.status.phase = "Running"
        made.metadata.labels = {}
        made.status.container_statuses[0].container_id = f"containerd://pg-{number}"
        return made

    # PostgreSQL

    def look(self) -> Members:
        others = [f"postgres-{n}" for n in range(3) if f"postgres-{n}" != self.leading]
        if not self.whole:
            raise ClusterError("a member is away")
        return Members(self.leading, (others[0],), (others[1],), (others[0],))

    def patroni(self, pod_name: str, method: str, path: str, body: Any) -> str:
        self.asked.append((pod_name, method, path, str(body)))
        if self.bites and path == "switchover":
            self.leading = body["candidate"]
        return ""

    # the API server

    def list_pod_for_all_namespaces(self, label_selector: str) -> Any:
        return SimpleNamespace(items=list(self.pods))

    def read_namespaced_pod(self, name: str, namespace: str) -> Any:
        for found in self.pods:
            if found.metadata.name == name:
                return found
        raise client.ApiException(status=404, reason="Not Found")

    def delete_namespaced_pod(self, name: str, namespace: str, body: Any) -> None:
        self.asked.append(("delete", name, str(body.grace_period_seconds)))
        if self.bites:
            [old] = [one for one in self.pods if one.metadata.name == name]
            new = self._pod(int(name[-1]))
            new.metadata.uid = f"{old.metadata.uid}-again"
            if self.cordoned.get(old.spec.node_name):
                new.status.container_statuses = None
                waits = SimpleNamespace(
                    type="PodScheduled", status="False", message="no node takes it"
                )
                new.status.conditions = [waits]
            self.pods[self.pods.index(old)] = new

    def read_node(self, name: str) -> Any:
        ready = SimpleNamespace(type="Ready", status="True")
        return SimpleNamespace(
            spec=SimpleNamespace(unschedulable=self.cordoned.get(name)),
            status=SimpleNamespace(conditions=[ready]),
        )

    def patch_node(self, name: str, body: Any) -> None:
        if self.bites:
            self.cordoned[name] = body["spec"]["unschedulable"]

    def read_namespaced_service(self, name: str, namespace: str) -> Any:
        port = SimpleNamespace(port=443)
        return SimpleNamespace(spec=SimpleNamespace(cluster_ip="10.96.0.1", ports=[port]))

    def list_namespaced_endpoint_slice(self, namespace: str, label_selector: str) -> Any:
        found = SimpleNamespace(
            endpoints=[SimpleNamespace(addresses=["172.18.0.2"])],
            ports=[SimpleNamespace(port=6443)],
        )
        return SimpleNamespace(items=[found])

    # the nodes

    def on_node(self, node: str, *argv: str) -> str:  # noqa: PLR0911  one for each program
        if self.containers[node].status != "running":
            raise ClusterError(f"{node} does not run")
        self.asked.append((node, *argv))
        verb = argv[0]
        if verb == "ctr":
            return self._ctr(node, argv[3:])
        if verb == "ps":
            return "\n".join(self.lines[node])
        if verb == "kill":
            return self._kill(node, argv[1], int(argv[-1]))
        if verb == "stat":
            return "4026\n"
        if verb == "nsenter":
            assert argv[1:5] == ("--net=/run/netns/cni-a", "iptables", "-w", "5")
            return self._iptables(node, list(argv[5:]))
        assert verb == "sh"
        if argv[3:4] == ("find",):
            return "/run/netns/cni-a\n"
        if argv[3:] == ("there", "/run/netns/cni-a"):
            return "there\n"
        return self._loop(node, argv[2])

    def _ctr(self, node: str, argv: tuple[str, ...]) -> str:
        states = {"pause": "PAUSED", "resume": "RUNNING"}
        if self.bites and argv[0] in states:
            self.tasks[node] = states[argv[0]]
        number = int(node[-1])
        if self.bites and argv[:2] == ("kill", "--all"):
            self.pods[number].status.container_statuses[0].restart_count += 1
        return f"TASK PID STATUS\npg-{number}    {1000 + number}    {self.tasks[node]}\n"

    def _kill(self, node: str, signal: str, pid: int) -> str:
        if not self.bites:
            return ""
        kept = []
        for one in self.lines[node]:
            words = one.split(maxsplit=8)
            if int(words[0]) == abs(pid):
                if signal == "-KILL":
                    continue
                state = {"-STOP": "T", "-CONT": "S"}[signal]
                one = line(int(words[0]), int(words[1]), words[8], state)  # noqa: PLW2901
            kept.append(one)
        self.lines[node] = kept
        return ""

    def _loop(self, node: str, command: str) -> str:
        if self.bites:
            words = shlex.split(command)
            assert words[:3] == ["setsid", "sh", "-c"]
            name, rules = words[4], words[9:-4]
            self.lines[node].append(line(3000, 1, f"sh -c loop {name} 180 5 1"))
            self.chains[node] += [f"-A {rule}" for rule in rules]
        return ""

    def _iptables(self, node: str, argv: list[str]) -> str:
        chains = self.chains[node]
        text = shlex.join(argv[1:])
        if argv[0] == "-S":
            return "\n".join(chains)
        if argv[0] == "-nvxL":
            used = sum(one.startswith("-A ") and one.endswith(f"-j {argv[1]}") for one in chains)
            count = 7 if used else 0
            return f"Chain {argv[1]}\n pkts bytes target prot\n {count} 420 DROP all -- * *\n"
        if argv[0] == "-N":
            chains.append(f"-N {argv[1]}")
        elif argv[0] == "-F":
            self.chains[node] = [one for one in chains if not one.startswith(f"-A {argv[1]} ")]
        elif argv[0] == "-X":
            chains.remove(f"-N {argv[1]}")
        elif argv[0] == "-D":
            chains.remove(f"-A {text}")
        elif self.bites:
            chains.append(f"-A {text}")
        return ""

    # Docker

    def docker(self, *argv: str) -> str:
        self.asked.append(("docker", *argv))
        node = self.containers.get(argv[-1])
        if argv[0] == "inspect":
            return '[{"NetworkSettings": {"Networks": {"kind": {"Aliases": ["node-0", "other"]}}}}]'
        if node is None or not self.bites:
            return ""
        if argv[0] in ("pause", "unpause"):
            node.status = "paused" if argv[0] == "pause" else "running"
        elif argv[1] == "disconnect":
            node.address = ""
        elif "--ip" in argv and not self.serves_addresses:
            raise ClusterError("user specified IP address is supported only when …")
        else:
            node.address = self.comes_back_at or f"172.18.0.{int(argv[-1][-1]) + 3}"
        return ""

    def container(self, name: str) -> NodeContainer:
        found = self.containers[name]
        return NodeContainer(
            name,
            name,
            "worker",
            found.status,
            None,
            found.address,
            (),  # type: ignore[arg-type]
        )


UNDOS_OF_MEMBERS = {
    "all-streaming",
    "continue",
    "plug-in",
    "reconnect",
    "resume-member",
    "together",
    "uncordon",
    "unpause",
}
"""The undos of faults that break single members; `test_faults_members.py` tries each."""
