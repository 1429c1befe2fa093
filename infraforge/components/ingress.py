"""The front door: its certificate, and what of its configuration is known only on the spot."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from functools import partial

from infraforge.components import containers
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site
from infraforge.errors import UsageError
from infraforge.wait import seconds, wait_until

NAMESPACE = "infraforge-access"
_PROCESSES = """for p in /proc/[0-9]*; do echo "${p#/proc/} $(tr '\\0' ' ' < $p/cmdline)"; done"""

_ORIGIN = re.compile(r"https://(?P<authority>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})(?::\d{1,5})?)")


class Ingress(Component):
    """NGINX: TLS, limits, the question who asks, and nothing of its own besides."""

    name = "ingress"
    namespace = NAMESPACE
    # NGINX looks their names up at its start
    needs = ("backend", "frontend", "login", "oauth2-proxy")
    listens = (Listener(8443),)
    reloads = True  # NGINX reads it for every handshake
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        names, ips = host_of(site.origin)
        site.certificate(self.name, NAMESPACE, [self.name], extra_names=names, extra_ips=ips)

    def retrust(self, site: Site) -> None:
        """By SIGHUP: new workers take over the very sockets; done when the old ones are gone."""
        for pod in containers.pods(site, self.name):
            run = partial(site.execute, NAMESPACE, pod.metadata.name, self.name, "sh", "-c")
            old = workers(run(_PROCESSES))
            run("kill -HUP 1")

            def replaced(run: Callable[[str], str] = run, old: frozenset[str] = old) -> bool:
                now = workers(run(_PROCESSES))
                return bool(now) and not now & old

            wait_until(replaced, seconds(90), every=1.0, what="NGINX has new workers only")

    def prepare(self, site: Site) -> None:
        site.config_map("ingress-site", NAMESPACE, {"site.conf": site_conf(site.origin)})


def workers(processes: str) -> frozenset[str]:
    """Which of the lines `PID TITLE` are NGINX' workers, those that are shutting down included."""
    lines = (line.split(maxsplit=1) for line in processes.splitlines())
    return frozenset(
        line[0] for line in lines if len(line) > 1 and line[1].startswith("nginx: worker process")
    )


def host_of(origin: str) -> tuple[list[str], list[str]]:
    """What the certificate must name besides the Service: DNS names, and addresses."""
    host = urllib.parse.urlsplit(origin).hostname or ""
    if host in ("localhost", "127.0.0.1"):
        return [], []  # every certificate names them
    try:
        return [], [str(ipaddress.ip_address(host))]
    except ValueError:
        return [host], []


def site_conf(origin: str) -> str:
    """The piece of nginx.conf that differs from site to site.

    origin: where users find the front door.
    Raises UsageError for an origin that is more, or less, than https, a host and a port.
    """
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise UsageError(f"the origin must be https://HOST or https://HOST:PORT, not {origin!r}")
    return (
        f'map "" $origin {{ default "{origin}"; }}\n'
        f'map "" $origin_authority {{ default "{found["authority"]}"; }}\n'
    )
