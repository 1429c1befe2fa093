"""etcd's files and the audit log, read on the control-plane node itself."""

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
    """etcd's files (database and write-ahead log) that contain `text` as plain text.

    text: must not be a secret, since it is an argument of a process on the node.
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
    addresses = {}
    containers.nodes(site)  # raises Unable unless the nodes are this machine's own containers
    for node in _nodes(site):
        printed = docker("inspect", "-f", "{{json .NetworkSettings.Ports}}", node)
        for port, bindings in json.loads(printed).items():
            for binding in bindings or ():
                addresses[f"{node} {port}"] = str(binding["HostIp"])
    return addresses


def _nodes(site: Site) -> list[str]:
    listed: Any = site.core.list_node()
    return [node.metadata.name for node in listed.items]


def _on_control_plane(site: Site, *argv: str) -> str:
    cluster = containers.nodes(site)
    label = "node-role.kubernetes.io/control-plane"
    listed: Any = site.core.list_node(label_selector=label)
    return cluster.on_node(listed.items[0].metadata.name, *argv)
