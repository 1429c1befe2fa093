"""Ways into a pod or a node that bypass the front door, as an administrator would use them.

Each way carries a mark that the API server sees in the request itself, which tells its line in the
audit log from others.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.stream import portforward, stream

from infraforge.components import containers
from infraforge.components.site import SYSTEM, Site
from infraforge.errors import ClusterError

_COMPONENT = "postgres"
_DNS = "k8s-app=kube-dns"
"""Selects pods that the API server may reach; no policy lets it reach the platform's own."""


@dataclass(frozen=True)
class Way:
    """One way in. take: uses it and returns the mark; resource: its name in the audit log.

    take raises ClusterError where the way does not work.
    """

    take: Callable[[Site], str]
    resource: str


def _kubectl_exec(site: Site) -> str:
    box, mark = containers.find(site, _COMPONENT), _mark()
    return _echoed(mark, site.execute(box.namespace, box.pod, box.name, "echo", mark))


def _client_exec(site: Site) -> str:
    box, mark = containers.find(site, _COMPONENT), _mark()
    said = stream(
        _core(site).connect_get_namespaced_pod_exec,
        box.pod,
        box.namespace,
        container=box.name,
        command=["echo", mark],
        stdin=False,
        stdout=True,
        stderr=True,
        tty=False,
    )
    return _echoed(mark, str(said))


def _client_port_forward(site: Site) -> str:
    box = containers.find(site, _COMPONENT)
    port = str(20_000 + secrets.randbelow(40_000))  # nobody listens there; the way works anyway
    with contextlib.closing(
        portforward(
            _core(site).connect_get_namespaced_pod_portforward, box.pod, box.namespace, ports=port
        )
    ):
        return f"ports={port}"


def _pod_proxy(site: Site) -> str:
    mark, namespace = _mark(), "kube-system"
    listed: Any = site.core.list_namespaced_pod(namespace, label_selector=_DNS)
    if not listed.items:
        raise ClusterError(f"the cluster's DNS has no pod ({_DNS})")
    pod = f"{listed.items[0].metadata.name}:8080"
    return _tried(
        mark,
        lambda: _core(site).connect_get_namespaced_pod_proxy_with_path(pod, namespace, mark),
    )


def _service_proxy(site: Site) -> str:
    mark = _mark()
    return _tried(
        mark,
        lambda: _core(site).connect_get_namespaced_service_proxy_with_path(
            "https:kubernetes:https", "default", mark
        ),
    )


def _node_proxy(site: Site) -> str:
    box, mark = containers.find(site, _COMPONENT), _mark()
    return _tried(
        mark, lambda: _core(site).connect_get_node_proxy_with_path(box.node, f"healthz/{mark}")
    )


def _secret(site: Site) -> str:
    mark = _mark()
    return _tried(mark, lambda: _core(site).read_namespaced_secret(mark, SYSTEM))


def _logs(site: Site) -> str:
    box, mark = containers.find(site, _COMPONENT), _mark()
    return _tried(
        mark,
        lambda: _core(site).read_namespaced_pod_log(box.pod, box.namespace, container=mark),
    )


WAYS: Mapping[str, Way] = {
    "kubectl exec": Way(_kubectl_exec, "pods/exec"),
    "exec by the Python client": Way(_client_exec, "pods/exec"),
    "port-forward": Way(_client_port_forward, "pods/portforward"),
    "proxy to a pod": Way(_pod_proxy, "pods/proxy"),
    "proxy to a service": Way(_service_proxy, "services/proxy"),
    "proxy to a node": Way(_node_proxy, "nodes/proxy"),
    "reading a Secret": Way(_secret, "secrets"),
    "reading logs": Way(_logs, "pods/log"),
}


def _mark() -> str:
    return f"probe-{secrets.token_hex(12)}"


def _core(site: Site) -> client.CoreV1Api:
    """A separate client, because `stream` changes the one it is given while it works."""
    return client.CoreV1Api(client.ApiClient(site.core.api_client.configuration))


def _echoed(mark: str, said: str) -> str:
    if said.strip() != mark:
        raise ClusterError(f"echo {mark} printed {said!r}")
    return mark


def _tried(mark: str, ask: Callable[[], object]) -> str:
    """The mark, once the API server has answered, even if what lies behind it refused."""
    try:
        ask()
    except client.ApiException as error:
        if not error.status:
            raise ClusterError(f"the API server did not answer: {error.reason}") from error
    return mark
