"""What the cluster injects into a component's pods: variables and Secrets, by name only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError

_SECRET = re.compile(r"passw|secret|token|credential|api_?key|_dsn$|database_url", re.IGNORECASE)
_PATH = re.compile(r"_(file|path|dir)$", re.IGNORECASE)


@dataclass(frozen=True)
class Injected:
    """Names of environment variables, and of Secrets that are mounted or read into variables."""

    variables: frozenset[str]
    secrets: frozenset[str]


def into(site: Site, component: str) -> Injected:
    """What all pods of the component get. Raises ClusterError where there is no pod."""
    pods = containers.pods(site, component)
    if not pods:
        raise ClusterError(f"{component} has no pods")
    variables: set[str] = set()
    secrets: set[str] = set()
    for pod in pods:
        for box in (*pod.spec.containers, *(pod.spec.init_containers or ())):
            for variable in box.env or ():
                variables.add(str(variable.name))
                source = variable.value_from and variable.value_from.secret_key_ref
                secrets |= {str(source.name)} if source else set()
            for source in box.env_from or ():
                secrets |= {str(source.secret_ref.name)} if source.secret_ref else set()
                if source.config_map_ref:
                    variables |= _names(site, pod.metadata.namespace, source)
        for volume in pod.spec.volumes or ():
            secrets |= _mounted(volume)
    return Injected(frozenset(variables), frozenset(secrets))


def looks_secret(variable: str) -> bool:
    """Whether a variable of that name would hold a secret itself, rather than the path to one."""
    return bool(_SECRET.search(variable)) and not _PATH.search(variable)


def _names(site: Site, namespace: str, source: Any) -> set[str]:
    config_map: Any = site.core.read_namespaced_config_map(source.config_map_ref.name, namespace)
    return {f"{source.prefix or ''}{name}" for name in config_map.data or {}}


def _mounted(volume: Any) -> set[str]:
    secrets = {str(volume.secret.secret_name)} if volume.secret else set()
    for source in (volume.projected.sources if volume.projected else None) or ():
        if source.secret:
            secrets.add(str(source.secret.name))
    return secrets
