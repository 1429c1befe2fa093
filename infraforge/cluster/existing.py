"""A cluster that somebody else made: reached by its kubeconfig, never created nor removed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes import config as kube_config

from infraforge.errors import UsageError


class Existing:
    """The cluster of one context of a kubeconfig.

    Raises UsageError for a file or a context that is not there, or an API server that does not
    answer.
    """

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        self.kubeconfig = kubeconfig
        configuration = client.Configuration()
        try:
            _all, active = kube_config.list_kube_config_contexts(str(kubeconfig))
            self.name = context or str(active["name"])
            kube_config.load_kube_config(
                str(kubeconfig), context=self.name, client_configuration=configuration
            )
        except (kube_config.ConfigException, OSError, TypeError, KeyError) as error:
            raise UsageError(f"{kubeconfig}: {error}") from error
        configuration.connection_pool_maxsize = 64
        self._api = client.ApiClient(configuration)
        try:
            client.VersionApi(self._api).get_code(_request_timeout=5)
        except Exception as error:
            raise UsageError(f"{kubeconfig}: the API server does not answer: {error}") from error

    @property
    def api(self) -> client.ApiClient:
        """A client signed in as the kubeconfig says."""
        return self._api

    @property
    def node_cidrs(self) -> Sequence[str]:
        """One block for each node's internal address."""
        nodes: Any = client.CoreV1Api(self._api).list_node()
        found = (
            a.address for n in nodes.items for a in n.status.addresses if a.type == "InternalIP"
        )
        return [str(ipaddress.ip_network(address)) for address in found]
