"""What lies behind the API server: etcd's files and the audit log, read on the node itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infraforge.cluster.docker_cli import docker
from infraforge.components import containers
from infraforge.components.site import Site

_ETCD = "/var/lib/etcd/member"
_AUDIT = "/etc/kubernetes/infraforge/audit/audit.log"


def files_with(site: Site, text: str) -> tuple[str, ...]:
    """Files of etcd (database and write-ahead log) that hold `text` as it is.

    text: must be no secret itself: it is an argument on the node.
    """
    argv = ("find", _ETCD, "-type", "f", "-exec", "grep", "-l", "-a", "-F", "-e", text, "{}", ";")
    return tuple(_on_control_plane(site, *argv).splitlines())


def audited(site: Site, resource: str, name: str) -> tuple[Mapping[str, Any], ...]:
    """The audit log's latest entries about one object, oldest first."""
    lines = _on_control_plane(site, "tail", "-n", "5000", _AUDIT).splitlines()
    entries = [json.loads(line) for line in lines if f'"name":"{name}"' in line]
    return tuple(
        entry for entry in entries if entry.get("objectRef", {}).get("resource") == resource
    )


def audited_with(site: Site, mark: str) -> tuple[Mapping[str, Any], ...]:
    """The audit log's latest entries about requests whose URI holds `mark`, oldest first."""
    lines = _on_control_plane(site, "tail", "-n", "5000", _AUDIT).splitlines()
    entries = [json.loads(line) for line in lines if mark in line]
    return tuple(entry for entry in entries if mark in entry["requestURI"])


def published(site: Site) -> Mapping[str, str]:
    """Ports of this machine that lead to the nodes: `node port/protocol` → address."""
    found = {}
    containers.nodes(site)  # they are this machine's own containers, or they are out of reach
    for node in _nodes(site):
        printed = docker("inspect", "-f", "{{json .NetworkSettings.Ports}}", node)
        for port, bindings in json.loads(printed).items():
            for binding in bindings or ():
                found[f"{node} {port}"] = str(binding["HostIp"])
    return found


def _nodes(site: Site) -> list[str]:
    listed: Any = site.core.list_node()
    return [node.metadata.name for node in listed.items]


def _on_control_plane(site: Site, *argv: str) -> str:
    cluster = containers.nodes(site)
    label = "node-role.kubernetes.io/control-plane"
    listed: Any = site.core.list_node(label_selector=label)
    return cluster.on_node(listed.items[0].metadata.name, *argv)
