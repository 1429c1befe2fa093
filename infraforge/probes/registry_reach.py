"""What the local registry allows a node or a pod: to pull, to push, to reach the push listener.

Nothing stays in the registry: a pushed manifest is invalid, and an upload is begun but not ended.
What cannot be found out is None, never "refused".
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from infraforge.cluster import network, registry
from infraforge.cluster.docker_cli import docker
from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.table import Cell

ALLOWED, REFUSED = "allowed", "refused"
OPEN, BLOCKED = "open", "blocked"
_SECONDS = 4
_CURL_OPEN, _CURL_BLOCKED = (0, 35, 52, 56, 60), (7, 28)
"""curl's exit codes: connected, whatever followed; refused or timed out."""
_NO = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED)
_PINNED = re.compile(r"[^/]+/(?P<repository>[^:@]+)(:[^@]+)?@(?P<digest>sha256:[0-9a-f]{64})")
_ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)
"""Manifest types to accept: the registry denies having one of a type that was not asked for."""
_NODE_CA = "/etc/containerd/certs.d/ghcr.io/ca.crt"
_POD_CA = "/etc/registry-ca/registry.crt"
_IN_POD = """
import ssl, socket, sys, urllib.error, urllib.request
what, seconds, *rest = sys.argv[1:]
if what == "ask":
    ca, accept, method, url = rest
    data = None if method == "GET" else b"{}"
    asked = urllib.request.Request(url, data, {"Accept": accept}, method=method)
    try:
        context = ssl.create_default_context(cafile=ca)
        print(urllib.request.urlopen(asked, timeout=int(seconds), context=context).status)
    except urllib.error.HTTPError as error:
        print(error.code)
else:
    host, port = rest
    try:
        socket.create_connection((host, int(port)), timeout=int(seconds)).close()
        print("open")
    except (TimeoutError, ConnectionRefusedError):
        print("blocked")
"""
Ask = Callable[[str, str], int]
"""(method, URL) → HTTP status; 0 where there was none."""
Try = Callable[[str, int], str | None]
"""(address, port) → open, blocked, or None."""


def requests(ask: Ask, image: str) -> Mapping[str, Cell]:
    """How the read-only registry answers a pull (the control) and each way to push.

    image: one that it holds, `HOST/REPOSITORY:TAG@sha256:…`. Raises ValueError for another form.
    """
    pinned = _PINNED.fullmatch(image)
    if pinned is None:
        raise ValueError(f"{image} is not pinned by digest")
    at = f"https://{registry.NAME}:5000/v2/{pinned['repository']}"
    pulled = ask("GET", f"{at}/manifests/{pinned['digest']}")
    return {
        "pull by digest": ALLOWED if pulled == HTTPStatus.OK else None,
        "begin an upload": _told(ask("POST", f"{at}/blobs/uploads/")),
        "move a tag": _told(ask("PUT", f"{at}/manifests/infraforge-probe")),
    }


def declared_requests() -> Mapping[str, Cell]:
    """The result that `requests` must have."""
    return {"pull by digest": ALLOWED, "begin an upload": REFUSED, "move a tag": REFUSED}


def from_node(site: Site, node: str) -> Ask:
    """Send requests with curl on the node itself. Raises Unable where nodes cannot be reached."""

    def ask(method: str, url: str) -> int:
        argv = ["--request", method, "--cacert", _NODE_CA, "--write-out", "%{http_code}"]
        argv += ["--header", f"Accept: {_ACCEPT}", url]
        if method != "GET":
            argv += ["--data", "{}"]
        return int(_curl(site, node, *argv)[0] or 0)

    return ask


def from_pod(site: Site, component: str) -> Ask:
    """Send requests from the component's pod, which must have Python and the registry's CA."""

    def ask(method: str, url: str) -> int:
        return int(_python(site, component, "ask", str(_SECONDS), _POD_CA, _ACCEPT, method, url))

    return ask


def connects_from_node(site: Site, node: str) -> Try:
    """Try connections to a port from the node."""

    def attempt(address: str, port: int) -> str | None:
        code = _curl(site, node, "--insecure", f"https://{address}:{port}/v2/")[1]
        if code in _CURL_BLOCKED:
            return BLOCKED
        return OPEN if code in _CURL_OPEN else None

    return attempt


def connects_from_pod(site: Site, component: str) -> Try:
    """Try connections to a port from the component's pod."""

    def attempt(address: str, port: int) -> str | None:
        said = _python(site, component, "connect", str(_SECONDS), address, str(port))
        return said if said in (OPEN, BLOCKED) else None

    return attempt


def connects_from_here(address: str, port: int) -> str | None:
    """Try a connection from this machine: open, blocked, or None."""
    try:
        socket.create_connection((address, port), timeout=_SECONDS).close()
    except (TimeoutError, ConnectionRefusedError):
        return BLOCKED
    except OSError:
        return None
    return OPEN


def writers_addresses() -> Sequence[tuple[str, int]]:
    """Where the push listener could be reached: its own address, and the networks' gateways.

    Raises ClusterError where it does not run.
    """
    writer = registry.WRITER
    own = _address(writer)
    networks = json.loads(docker("network", "inspect", writer.network, network.NODES))
    gateways = [
        str(block["Gateway"])
        for network in networks
        for block in network["IPAM"]["Config"]
        if block.get("Gateway")
    ]
    return [(own, 5000), *((gateway, registry.PORT) for gateway in gateways)]


def readers_address() -> tuple[str, int]:
    """Where the nodes reach the read-only listener. Raises ClusterError."""
    return _address(registry.READER), 5000


def _address(listener: registry.Listener) -> str:
    networks: Any = json.loads(
        docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", listener.container)
    )
    return str(networks[listener.network]["IPAddress"])


def _told(status: int) -> Cell:
    """The result of a push: refused, or the status that accepted it; None without an answer."""
    if status in _NO:
        return REFUSED
    return None if status == 0 or status >= HTTPStatus.INTERNAL_SERVER_ERROR else status


def _curl(site: Site, node: str, *argv: str) -> tuple[str, int]:
    """The output of curl on a node, and its exit code."""
    options = ("--silent", "--output", "/dev/null", "--noproxy", "*", "--max-time", str(_SECONDS))
    shell = ("sh", "-c", 'curl "$@"; echo " $?"', "curl")
    said = containers.on_node(site, node, *shell, *options, *argv)
    written, _, code = said.rpartition(" ")
    return written.strip(), int(code)


def _python(site: Site, component: str, *argv: str) -> str:
    """The output of the program above in the component's pod."""
    box = containers.find(site, component)
    command = ("python3", "-c", _IN_POD, *argv)
    return site.execute(box.namespace, box.pod, box.name, *command).strip()
