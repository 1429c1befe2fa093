"""A cluster that somebody else made: reached by its kubeconfig, never created nor removed.

Which cluster it is, its UID says (that of the namespace kube-system, which lives exactly as long
as the cluster): names, contexts and addresses may lead elsewhere tomorrow.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes import config as kube_config

from infraforge.cluster.pki import write_private
from infraforge.errors import UsageError


class OtherCluster(UsageError):
    """Behind the kubeconfig is another cluster than the one that was agreed to."""


class Existing:
    """The cluster of one context of a kubeconfig.

    name: what it is called here, by default as the context; pinned: the UID it must have, ""
    for any. Raises UsageError for a file or a context that is not there, or an API server that
    does not answer; OtherCluster when its UID is not the pinned one.
    """

    def __init__(
        self, kubeconfig: Path, context: str | None = None, *, name: str = "", pinned: str = ""
    ) -> None:
        self.kubeconfig = kubeconfig
        configuration = client.Configuration()
        try:
            _all, active = kube_config.list_kube_config_contexts(str(kubeconfig))
            self.context = context or str(active["name"])
            kube_config.load_kube_config(
                str(kubeconfig), context=self.context, client_configuration=configuration
            )
        except (kube_config.ConfigException, OSError, TypeError, KeyError) as error:
            raise UsageError(f"{kubeconfig}: {error}") from error
        self.name = name or self.context
        self.server: str = configuration.host
        configuration.connection_pool_maxsize = 64
        self._api = client.ApiClient(configuration)
        core = client.CoreV1Api(self._api)
        try:
            found: Any = core.read_namespace("kube-system", _request_timeout=5)
        except client.ApiException as error:
            raise UsageError(f"{kubeconfig}: {self.context}: {error.reason}") from error
        except Exception as error:
            raise UsageError(f"{kubeconfig}: the API server does not answer: {error}") from error
        self.uid: str = found.metadata.uid
        if pinned and self.uid != pinned:
            raise OtherCluster(
                f"{kubeconfig}: {self.context} is another cluster now: its UID is {self.uid}, "
                f"agreed to was {pinned}; nothing was touched. If the old one is gone: "
                f"infraforge down --name {self.name} --forget"
            )

    @property
    def api(self) -> client.ApiClient:
        """A client signed in as the kubeconfig says."""
        return self._api

    @property
    def node_cidrs(self) -> Sequence[str]:
        """One block for each node's internal address."""
        return [str(ipaddress.ip_network(address)) for address in self.node_addresses()]

    def node_addresses(self) -> list[str]:
        """The nodes' internal addresses."""
        nodes: Any = client.CoreV1Api(self._api).list_node()
        return [
            a.address for n in nodes.items for a in n.status.addresses if a.type == "InternalIP"
        ]

    def exists(self) -> bool:
        """True: it answered when this was made."""
        return True

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
