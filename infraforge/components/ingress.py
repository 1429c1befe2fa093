"""The front door: its certificate, and what of its configuration is known only on the spot."""

from __future__ import annotations

import ipaddress
import urllib.parse

from infraforge.components.base import Component, Listener, Trust
from infraforge.components.origin import canonical_origin
from infraforge.components.site import Site

NAMESPACE = "infraforge-access"


class Ingress(Component):
    """NGINX: TLS, limits, the question who asks, and nothing of its own besides."""

    name = "ingress"
    namespace = NAMESPACE
    # NGINX looks their names up at its start
    needs = ("backend", "frontend", "login", "oauth2-proxy")
    listens = (Listener(8443),)
    reloads = True  # NGINX reads it for every handshake
    # NGINX reads it at its start; a reload would close connections while a request is on its way
    trust = Trust.AT_START

    def certify(self, site: Site) -> None:
        names, ips = host_of(site.origin)
        site.certificate(self.name, NAMESPACE, [self.name], extra_names=names, extra_ips=ips)

    def prepare(self, site: Site) -> None:
        site.config_map("ingress-site", NAMESPACE, {"site.conf": site_conf(site.origin)})


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

    origin: where users find the front door. Raises UsageError as `canonical_origin`.
    """
    origin = canonical_origin(origin)
    authority = origin.removeprefix("https://")
    return (
        f'map "" $origin {{ default "{origin}"; }}\n'
        f'map "" $origin_authority {{ default "{authority}"; }}\n'
    )
