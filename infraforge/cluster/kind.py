"""A KIND cluster from the project's own node image, through pytest-kind.

Nothing comes from the internet: kubeadm's static pods and everything else are pulled from the
local registry, which nodes trust by the machine's CA, and named by digest.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import urllib3
import yaml
from kubernetes import client
from kubernetes import config as kube_config

from infraforge.cluster import (
    direct,
    kind_program,
    network,
    node_containers,
    node_files,
    state,
    tools,
)
from infraforge.cluster.base import ONCE, Presence, Say, in_short
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.kind_config import INGRESS_LABEL, kind_config
from infraforge.cluster.node_containers import NodeContainer
from infraforge.cluster.pki import write_private
from infraforge.errors import ClusterError, TimedOut, UsageError, machine_fault
from infraforge.profile import Profile
from infraforge.wait import seconds, wait_until, wait_until_stable

_BEGUN = "creating"
"""A file that is there from before KIND is asked for the cluster until it has made it."""
_ASK = 5.0
"""Seconds that the API server has for an answer."""


class Kind:
    """One KIND cluster and its files under `state_dir()/clusters/NAME`.

    What is done to its nodes is done to our own alone: each method that looks for them raises
    UsageError where somebody else's container has such a name or label.
    """

    def __init__(self, name: str, tree: Path) -> None:
        direct.keep()
        self.name = name
        self.trouble = ""
        self.folder = state.cluster_dir(name).absolute()
        self.kubeconfig = self.folder / "kubeconfig"
        self._tree = tree
        self._api: client.ApiClient | None = None

    @property
    def api(self) -> client.ApiClient:
        """A client signed in by the cluster's own kubeconfig."""
        if self._api is None:
            if not self.kubeconfig.exists() or self.kubeconfig.stat().st_size == 0:
                raise UsageError(
                    f"no cluster {self.name!r} is up; run: infraforge up --name {self.name}"
                )
            self._api = self._client()
        return self._api

    def _client(self, retries: urllib3.Retry | None = None) -> client.ApiClient:
        configuration = client.Configuration(retries=retries)
        kube_config.load_kube_config(str(self.kubeconfig), client_configuration=configuration)
        configuration.connection_pool_maxsize = 64
        return client.ApiClient(configuration)

    @property
    def node_cidrs(self) -> Sequence[str]:
        found = network.subnets()
        direct.keep(*found)
        return found

    @property
    def door(self) -> str:
        """Its ports are published by one node alone."""
        return INGRESS_LABEL

    def nodes(self) -> list[str]:
        """Names of the node containers there are, running or not."""
        return [node.name for node in self._nodes()]

    def started(self) -> Mapping[str, datetime]:
        """Since when each node has been running (UTC); nodes that do not run are left out.

        Where the clock was set meanwhile, Docker's note of it and the age of the node's first
        process differ; the earlier one is told, for nothing that runs there can be older.
        """
        found = {}
        for node in self._nodes():
            if node.status == "running":
                age = docker("exec", node.name, "ps", "-o", "etimes=", "-p", "1").strip()
                aged = datetime.now(UTC) - timedelta(seconds=int(age)) if age.isdigit() else None
                found[node.name] = min(filter(None, (node.started, aged)))
        return found

    def _nodes(self) -> list[NodeContainer]:
        return node_containers.find(self.name, self.folder)

    def presence(self) -> Presence:
        """Absent, where neither nodes nor a kubeconfig are here; else what the API server says.

        Raises ClusterError where Docker does not say whether there are nodes.
        """
        self.trouble = self._no_answer()
        if not self.trouble:
            return Presence.ANSWERS
        nodes = self._nodes() if shutil.which("docker") else []
        if not nodes and not self._has_kubeconfig:
            self.trouble = ""
            return Presence.ABSENT
        still = [f"{node.name} is {node.status}" for node in nodes if node.status != "running"]
        if not nodes:
            still = ["Docker has none of its nodes (another Docker host or context?)"]
        self.trouble = "; ".join([*still, self.trouble])
        return Presence.SILENT

    @property
    def unfinished(self) -> bool:
        """Whether its creation began and did not end: what there is of it holds nothing."""
        return (self.folder / _BEGUN).exists()

    @property
    def _has_kubeconfig(self) -> bool:
        return self.kubeconfig.exists() and self.kubeconfig.stat().st_size > 0

    def _no_answer(self) -> str:
        """Why the API server does not do what it is asked; "" where it does."""
        if not self._has_kubeconfig:
            return "there is no kubeconfig of it"
        try:
            # once: whoever asks wants to know how it is now
            client.VersionApi(self._client(ONCE)).get_code(_request_timeout=_ASK)
        except client.ApiException as error:
            return f"its API server answers {error.status} {error.reason}"
        except Exception as error:  # noqa: BLE001  whatever it is, it is told, and is no answer
            return f"its API server does not answer: {in_short(error)}"
        return ""

    def wake(self, within: float, say: Say) -> None:
        """Start the nodes that do not run, and wait until the API server answers.

        A node mends its own files where its address is another one now (platform/images/node).
        Raises ClusterError saying what to do where it does not come back.
        """
        nodes = self._nodes()
        if not nodes:
            raise ClusterError(gone(self.name))
        for node in nodes:
            if node.status != "running":
                say(f"starting {node.name}, which is {node.status}")
                docker("unpause" if node.status == "paused" else "start", node.container_id)
        if not self._has_kubeconfig:
            self._export_kubeconfig()
        say("waiting for its API server")

        def answers() -> bool:
            if trouble := self._no_answer():
                raise TimedOut(trouble)
            return True

        try:
            wait_until(
                answers,
                within,
                every=0.5,
                what=f"cluster {self.name!r} answers again",
                ignoring=(TimedOut,),
            )
        except TimedOut as error:
            raise ClusterError(
                f"{error}\nnothing was removed. What its nodes say: docker logs {nodes[0].name}; "
                f"docker exec {nodes[0].name} journalctl -u kubelet. To give it up, with all its "
                f"data: infraforge down --name {self.name}"
            ) from error

    def _export_kubeconfig(self) -> None:
        """Have KIND write the kubeconfig again. Raises ClusterError with its words."""
        argv = [str(tools.kind(self._tree)), "get", "kubeconfig", "--name", self.name]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=kind_program.environment()
        )
        if done.returncode != 0:
            raise ClusterError(f"{self.kubeconfig} is gone, and kind: {done.stderr.strip()}")
        write_private(self.kubeconfig, done.stdout)

    def check(self) -> None:
        """Raise UsageError where Docker does not work here, or a node has somebody else's name."""
        if shutil.which("docker") is None:
            raise UsageError("docker is missing; ./bootstrap installs it")
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = machine_fault(done.stderr) or "no Docker daemon answers; run: ./bootstrap true"
            raise UsageError(why)
        self._nodes()

    def check_ports(self, profile: Profile) -> None:
        """Raise UsageError where somebody has the front door's ports, before it is made."""
        for port in (profile.ports.https, profile.ports.http):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise UsageError(
                        f"127.0.0.1:{port} is taken ({error.strerror}); free it, or choose others "
                        f"by INFRAFORGE_HTTPS_PORT and INFRAFORGE_HTTP_PORT. "
                        f"Who it is: ss -ltnp 'sport = :{port}'"
                    ) from error

    def create(
        self,
        profile: Profile,
        node_image: str,
        ca_file: Path,
        digests: Mapping[str, str],
        say: Say,
    ) -> None:
        """Make the cluster's nodes and control plane; network and storage are `install`'s.

        digests: canonical image reference → `sha256:…`; kubeadm's images are named by them.
        Raises ClusterError with KIND's last lines when it fails, UsageError where there are nodes.
        """
        if there := self.nodes():
            raise UsageError(f"cluster {self.name!r} has nodes already: {', '.join(there)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        files = node_files.write(self.folder, self._tree, ca_file, digests)
        config = self.folder / "kind.yaml"
        wanted = kind_config(profile, files) | {
            "containerdConfigPatches": [node_files.sandbox_patch(digests)]
        }
        config.write_text(yaml.safe_dump(wanted, sort_keys=False))
        log = self.folder / "kind.log"
        # by its path: it must be this one, whatever is installed, and it imports nothing of ours
        argv = [sys.executable, "-P", str(Path(__file__).with_name("kind_create.py")), self.name]
        argv += ["--kubeconfig", str(self.kubeconfig), "--image", node_image]
        argv += ["--kind", str(tools.kind(self._tree)), "--config", str(config)]
        argv += ["--kubectl", str(tools.kubectl(self._tree))]
        (self.folder / _BEGUN).touch()
        say("making its nodes")
        with log.open("w") as out:
            code = kind_program.run_alone(argv, self.folder, out)
        if code != 0:
            tail = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-25:])
            raise ClusterError(f"kind could not make the cluster:\n{tail}")
        (self.folder / _BEGUN).unlink()

    def delete(self) -> list[str]:
        """Remove nodes and files of this cluster; what was removed, in words."""
        removed = []
        for nodes in self._until_none():
            for node in nodes:
                node_containers.thaw(node.name)
            docker("rm", "--force", "--volumes", *(node.container_id for node in nodes))
            removed += [f"node {node.name}" for node in nodes]
        if self.folder.exists():
            shutil.rmtree(self.folder)
            removed.append(f"files in {self.folder}")
        self._api = None
        return removed

    def _until_none(self) -> Iterator[list[NodeContainer]]:
        """Its nodes, as long as there are any.

        Where KIND was stopped half-way, Docker may still be making one that it was asked for.
        """
        while nodes := self._nodes():
            yield nodes
        if self.unfinished:
            while nodes := wait_until_stable(self._nodes, seconds(10), for_=1.0):
                yield nodes

    def on_node(self, node: str, *argv: str) -> str:
        """Run a command in a node's container; its output. Raises ClusterError."""
        if node not in self.nodes():
            raise ClusterError(f"{node} is no node of cluster {self.name}")
        return docker("exec", node, *argv)


def gone(name: str) -> str:
    """What to say where a platform is known, and Docker has none of its nodes."""
    return (
        f"cluster {name!r} was made on this machine, and Docker has none of its nodes now; nothing "
        f"was touched. Where another Docker host or context has them, go back to that one; where "
        f"they were removed: infraforge down --name {name}, then infraforge up"
    )
