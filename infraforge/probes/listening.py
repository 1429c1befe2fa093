"""Pods that listen but belong to no component: only default policies protect them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubernetes import client

from infraforge.components import readiness
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.probes.reach import Source, Target, pod_for, python_image
from infraforge.wait import NotYet, wait_until

_PORT = 8443
_SERVE = ["python3", "-m", "http.server", str(_PORT), "--directory", "/tmp"]  # noqa: S108  empty


@contextlib.contextmanager
def nobodies(
    site: Site, namespaces: Sequence[str], within: float = 90.0
) -> Iterator[Mapping[str, Target]]:
    """One pod in each namespace that accepts connections during the block: its address.

    Returns once each pod's own node has connected to it. Raises ClusterError for one that cannot
    be created, TimedOut for one that does not listen.
    """
    image = python_image(site)
    with contextlib.ExitStack() as made, ThreadPoolExecutor(len(namespaces)) as pool:
        names = [_make(site, namespace, image, made) for namespace in namespaces]
        addresses = pool.map(
            lambda where, pod: _address(site, where, pod, within), namespaces, names
        )
        yield dict(zip(namespaces, addresses, strict=True))


def listening_pod(namespace: str, image: str) -> dict[str, Any]:
    """A probe pod that serves instead, with a readiness probe through its node."""
    pod = pod_for(Source("nobody", namespace), (), image)
    (box,) = pod["spec"]["containers"]
    box["command"] = _SERVE
    box["readinessProbe"] = {"tcpSocket": {"port": _PORT}, "periodSeconds": 1}
    return pod


def _make(site: Site, namespace: str, image: str, made: contextlib.ExitStack) -> str:
    pod = listening_pod(namespace, image)
    name = str(pod["metadata"]["name"])
    made.callback(_remove, site, namespace, name)
    try:
        site.core.create_namespaced_pod(namespace, pod)
    except client.ApiException as error:
        message = f"no pod can listen in {namespace}: {error.reason}: {error.body}"
        raise ClusterError(message) from error
    return name


def _address(site: Site, namespace: str, name: str, within: float) -> Target:
    def listens() -> Any:
        pod: Any = site.core.read_namespaced_pod(name, namespace)
        boxes = pod.status.container_statuses or ()
        if not boxes or not all(box.ready for box in boxes):
            raise NotYet(readiness.pod_trouble(pod) or pod.status.phase)
        return pod

    what = f"{namespace}/{name} listens"
    pod = wait_until(listens, within, every=0.5, what=what, error=readiness.hopeless)
    return Target(str(pod.status.pod_ip), _PORT)


def _remove(site: Site, namespace: str, name: str) -> None:
    try:
        site.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    except client.ApiException as error:
        if error.status != 404:
            raise ClusterError(
                f"pod {namespace}/{name} cannot be removed: {error.reason}"
            ) from error
