"""A cluster that the user brings: reached by its kubeconfig, never created or removed.

The cluster is identified by its UID (that of the namespace kube-system, which lives exactly as
long as the cluster): names, contexts and addresses may lead elsewhere tomorrow.
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
"""What the Kubernetes client raises, besides its own errors, for a file that is no kubeconfig."""
_ASK = 5.0
"""Seconds that the API server has to answer."""
_REFUSED = (401, 403)


class OtherCluster(UsageError):
    """The kubeconfig leads to another cluster than the one the user agreed to."""


class Existing:
    """The cluster of one context of a kubeconfig.

    name: the platform's name here, by default that of the context; pinned: the UID it must have,
    "" for any. Raises UsageError for a missing file or context; asks the cluster nothing yet.
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
            configuration.no_proxy = ""  # as with kubectl: the kubeconfig's own proxy wins
        else:
            direct.keep_private(self.server)
            configuration.no_proxy = os.environ["no_proxy"]
        configuration.connection_pool_maxsize = 64
        self._api = client.ApiClient(configuration)
        configuration.retries = ONCE
        self._asking = client.ApiClient(configuration)

    @property
    def api(self) -> client.ApiClient:
        """A client with the kubeconfig's credentials.

        Raises what `uid` raises: a cluster other than the one agreed to is asked for nothing else.
        """
        if self._pinned and not self._uid:
            _ = self.uid
        return self._api

    @property
    def uid(self) -> str:
        """The UID of the cluster behind the kubeconfig, read once.

        Raises OtherCluster where it is not the pinned one; UsageError where the API server refuses
        the kubeconfig's credentials; ClusterError where it does not answer.
        """
        if not self._uid:
            self._uid = self._ask()
        return self._uid

    def _ask(self) -> str:
        place = f"{self.kubeconfig}: {self.context}"
        core = client.CoreV1Api(self._asking)
        try:
            namespace: Any = core.read_namespace("kube-system", _request_timeout=_ASK)
        except client.ApiException as error:
            if error.status in _REFUSED:
                raise UsageError(f"{place}: {error.status} {error.reason}") from error
            raise ClusterError(f"{place}: {error.status} {error.reason}") from error
        except Exception as error:
            # whatever the cause (no route, a time-out, TLS, not Kubernetes): there was no answer
            told = f"{place}: the API server {self.server} does not answer: {in_short(error)}"
            if self._pinned:
                told += f". If it is gone for good: infraforge down --name {self.name} --forget"
            raise ClusterError(told) from error
        uid = str(getattr(namespace.metadata, "uid", None) or "")
        if not uid:
            raise ClusterError(f"{place}: what answers at {self.server} is not an API server")
        if self._pinned and uid != self._pinned:
            raise OtherCluster(
                f"{place} is now another cluster: its UID is {uid}, but {self._pinned} was agreed "
                f"to; nothing was touched. If the old cluster is gone: "
                f"infraforge down --name {self.name} --forget"
            )
        return uid

    @property
    def node_cidrs(self) -> Sequence[str]:
        """One single-address block for each node."""
        return [str(ipaddress.ip_network(address)) for address in self.node_addresses()]

    @property
    def door(self) -> str:
        """How users come in to a cluster that is brought is its owner's to say."""
        return ""

    def node_addresses(self) -> list[str]:
        """The nodes' internal addresses."""
        nodes: Any = client.CoreV1Api(self.api).list_node()
        addresses = [
            a.address for n in nodes.items for a in n.status.addresses if a.type == "InternalIP"
        ]
        direct.keep(*addresses)
        return addresses

    def presence(self) -> Presence:
        """Whether its API server answers; a cluster that the user brought is never absent.

        Raises OtherCluster, and UsageError where the API server refuses the credentials.
        """
        self.trouble, self._uid = "", ""
        try:
            _ = self.uid
        except ClusterError as error:
            self.trouble = str(error)
            return Presence.SILENT
        return Presence.ANSWERS

    def write_kubeconfig(self, kubectl: Path, target: Path) -> None:
        """Write a kubeconfig of this context alone, unaffected by changes to the user's.

        Raises UsageError with kubectl's own words.
        """
        argv = [str(kubectl), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}"]
        argv += ["config", "view", "--minify", "--flatten", "--output=json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UsageError(f"{self.kubeconfig}: {done.stderr.strip()}")
        write_private(target, json.dumps(json.loads(done.stdout), indent=1))


def _names_a_proxy(kubeconfig: Path, context: str) -> bool:
    """Whether the kubeconfig itself names a proxy for the context's API server."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = {c["name"]: c["context"]["cluster"] for c in config["contexts"]}[context]
    return any(c["name"] == cluster and c["cluster"].get("proxy-url") for c in config["clusters"])
