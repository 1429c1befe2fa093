"""A cluster that somebody else made: reached by its kubeconfig, never created nor removed.

Which cluster it is, its UID says (that of the namespace kube-system, which lives exactly as long
as the cluster): names, contexts and addresses may lead elsewhere tomorrow.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes import config as kube_config

from infraforge.cluster import direct
from infraforge.cluster.base import ONCE, Presence, in_short
from infraforge.cluster.pki import write_private
from infraforge.errors import ClusterError, UsageError

_ODD = (TypeError, LookupError, ValueError, yaml.YAMLError)
"""What the Kubernetes client raises, besides its own, for a file that is no kubeconfig."""
_ASK = 5.0
"""Seconds that the API server has for an answer."""
_REFUSED = (401, 403)


class OtherCluster(UsageError):
    """Behind the kubeconfig is another cluster than the one that was agreed to."""


class Existing:
    """The cluster of one context of a kubeconfig.

    name: what it is called here, by default as the context; pinned: the UID it must have, ""
    for any. Raises UsageError for a file or a context that is not there; nothing is asked yet.
    """

    def __init__(
        self, kubeconfig: Path, context: str | None = None, *, name: str = "", pinned: str = ""
    ) -> None:
        direct.keep()
        self.kubeconfig = kubeconfig
        self.trouble = ""
        self._pinned = pinned
        self._uid = ""
        configuration = client.Configuration()
        try:
            _all, active = kube_config.list_kube_config_contexts(str(kubeconfig))
            self.context = context or str(active["name"])
            kube_config.load_kube_config(
                str(kubeconfig), context=self.context, client_configuration=configuration
            )
        except (kube_config.ConfigException, OSError, *_ODD) as error:
            raise UsageError(f"{kubeconfig}: {error}") from error
        self.name = name or self.context
        self.server: str = configuration.host
        if _names_a_proxy(kubeconfig, self.context):
            configuration.no_proxy = ""  # as kubectl has it: what a kubeconfig says goes
        else:
            direct.keep_private(self.server)
            configuration.no_proxy = os.environ["no_proxy"]
        configuration.connection_pool_maxsize = 64
        self._api = client.ApiClient(configuration)
        configuration.retries = ONCE
        self._asking = client.ApiClient(configuration)

    @property
    def api(self) -> client.ApiClient:
        """A client signed in as the kubeconfig says.

        Raises what `uid` raises: no other cluster than the one agreed to is ever asked for more.
        """
        if self._pinned and not self._uid:
            _ = self.uid
        return self._api

    @property
    def uid(self) -> str:
        """The UID of the cluster behind the kubeconfig, asked for once.

        Raises OtherCluster where it is not the pinned one; UsageError where the kubeconfig's
        credentials are refused; ClusterError where the API server does not answer.
        """
        if not self._uid:
            self._uid = self._ask()
        return self._uid

    def _ask(self) -> str:
        place = f"{self.kubeconfig}: {self.context}"
        core = client.CoreV1Api(self._asking)
        try:
            found: Any = core.read_namespace("kube-system", _request_timeout=_ASK)
        except client.ApiException as error:
            if error.status in _REFUSED:
                raise UsageError(f"{place}: {error.status} {error.reason}") from error
            raise ClusterError(f"{place}: {error.status} {error.reason}") from error
        except Exception as error:
            # whatever it is (no route, a time-out, TLS, what is not Kubernetes): nothing was said
            told = f"{place}: the API server {self.server} does not answer: {in_short(error)}"
            if self._pinned:
                told += f". If it is gone for good: infraforge down --name {self.name} --forget"
            raise ClusterError(told) from error
        uid = str(getattr(found.metadata, "uid", None) or "")
        if not uid:
            raise ClusterError(f"{place}: what answers at {self.server} is no API server")
        if self._pinned and uid != self._pinned:
            raise OtherCluster(
                f"{place} is another cluster now: its UID is {uid}, "
                f"agreed to was {self._pinned}; nothing was touched. If the old one is gone: "
                f"infraforge down --name {self.name} --forget"
            )
        return uid

    @property
    def node_cidrs(self) -> Sequence[str]:
        """One block for each node's internal address."""
        return [str(ipaddress.ip_network(address)) for address in self.node_addresses()]

    def node_addresses(self) -> list[str]:
        """The nodes' internal addresses."""
        nodes: Any = client.CoreV1Api(self.api).list_node()
        found = [
            a.address for n in nodes.items for a in n.status.addresses if a.type == "InternalIP"
        ]
        direct.keep(*found)
        return found

    def presence(self) -> Presence:
        """Whether its API server answers; a cluster that somebody brought is never absent.

        Raises OtherCluster, and UsageError where the kubeconfig's credentials are refused.
        """
        self.trouble, self._uid = "", ""
        try:
            _ = self.uid
        except ClusterError as error:
            self.trouble = str(error)
            return Presence.SILENT
        return Presence.ANSWERS

    def write_kubeconfig(self, kubectl: Path, target: Path) -> None:
        """Write a kubeconfig of this context alone, so that switching the user's changes nothing.

        Raises UsageError with kubectl's own words.
        """
        argv = [str(kubectl), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}"]
        argv += ["config", "view", "--minify", "--flatten", "--output=json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UsageError(f"{self.kubeconfig}: {done.stderr.strip()}")
        write_private(target, json.dumps(json.loads(done.stdout), indent=1))


def _names_a_proxy(kubeconfig: Path, context: str) -> bool:
    """Whether the kubeconfig itself says by which proxy the context's API server is reached."""
    found = yaml.safe_load(kubeconfig.read_text())
    cluster = {c["name"]: c["context"]["cluster"] for c in found["contexts"]}[context]
    return any(c["name"] == cluster and c["cluster"].get("proxy-url") for c in found["clusters"])
