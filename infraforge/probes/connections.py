"""Whom a container is connected to, by the kernel's own table of its network."""

from __future__ import annotations

import ipaddress
from collections import Counter

from infraforge.components import containers
from infraforge.components.containers import Container
from infraforge.components.site import Site
from infraforge.errors import ClusterError

_ESTABLISHED = "01"
_LOCAL, _REMOTE, _STATE = 1, 2, 3
"""Columns of /proc/PID/net/tcp (Linux, Documentation/networking/proc_net_tcp.rst)."""


def parse(table: str, port: int) -> Counter[str]:
    """Remote address → how many connections to that port are open. table: /proc/PID/net/tcp[6]."""
    found: Counter[str] = Counter()
    for line in table.splitlines():
        columns = line.split()
        if len(columns) > _STATE and columns[_STATE] == _ESTABLISHED:
            address, _, remote = columns[_REMOTE].partition(":")
            if int(remote, 16) == port:
                found[_address(address)] += 1
    return found


def peers(site: Site, container: Container, pid: int, port: int) -> Counter[str]:
    """Of the network that the process (on the container's node) is in. Raises ClusterError."""
    table = containers.on_node(
        site, container.node, "cat", f"/proc/{pid}/net/tcp", f"/proc/{pid}/net/tcp6"
    )
    return parse(table, port)


def pods_at(site: Site, component: str, container: Container, pid: int, port: int) -> list[str]:
    """The component's pods that the process's network is connected to, most connections first.

    Raises ClusterError where it is connected to none.
    """
    open_to = peers(site, container, pid, port)
    names = {
        str(pod.status.pod_ip): str(pod.metadata.name) for pod in containers.pods(site, component)
    }
    found = [names[address] for address, _ in open_to.most_common() if address in names]
    if not found:
        raise ClusterError(f"{container.place} is connected to no {component}: {dict(open_to)}")
    return found


def _address(words: str) -> str:
    """Of hexadecimal words, each in the host's (little-endian) order."""
    raw = b"".join(bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
