"""Docker networks: the nodes' network, and networks that nodes must not reach."""

from __future__ import annotations

import ipaddress
import json

from infraforge.cluster.docker_cli import docker
from infraforge.errors import UsageError

NODES = "kind"
"""The nodes' network; KIND wants it called so."""
OURS = "infraforge"
"""The label on our containers and networks; its value says which one it is."""
_NODES_LABEL = "network"


def ensure_nodes() -> None:
    """Make the nodes' network where it is missing: IPv4, masqueraded (as KIND itself would)."""
    if docker("network", "inspect", NODES, check=False):
        return
    _make(NODES, _NODES_LABEL)


def subnets() -> list[str]:
    """The IPv4 networks that nodes get their addresses from."""
    found = json.loads(docker("network", "inspect", NODES))[0]
    blocks = [block["Subnet"] for block in found["IPAM"]["Config"]]
    return [b for b in blocks if isinstance(ipaddress.ip_network(b), ipaddress.IPv4Network)]


def ensure(name: str, label: str) -> None:
    """Make a network of ours. Raises UsageError where one of its name is not ours."""
    asked = ["--filter", f"name=^{name}$", "--format", f'<{{{{.Label "{OURS}"}}}}>']
    said = docker("network", "ls", *asked)
    if not said:
        _make(name, label)
    elif said != f"<{label}>":
        raise UsageError(
            f"the docker network {name} is not InfraForge's, which needs the name; "
            f"remove it: docker network rm {name}"
        )


def remove_unused(name: str, label: str = _NODES_LABEL) -> list[str]:
    """Remove a network of ours that nothing is in; what was removed, in words."""
    about = f'{{{{len .Containers}}}} {{{{index .Labels "{OURS}"}}}}'
    if docker("network", "inspect", "-f", about, name, check=False) != f"0 {label}":
        return []
    docker("network", "rm", name)
    return [f"docker network {name}"]


def _make(name: str, label: str) -> None:
    options = ["--driver=bridge", "-o", "com.docker.network.bridge.enable_ip_masquerade=true"]
    docker("network", "create", *options, "--label", f"{OURS}={label}", name)
