"""The ingress: its certificate, and the configuration that depends on the site's origin."""

from __future__ import annotations

import ipaddress
import urllib.parse

from infraforge.components.base import Component, Listener, Trust
from infraforge.components.origin import canonical_origin
from infraforge.components.site import Site

NAMESPACE = "infraforge-access"


class Ingress(Component):
    """NGINX: TLS, limits and authentication requests; it serves nothing of its own."""

    name = "ingress"
    namespace = NAMESPACE
    # NGINX resolves their names at its start
    needs = ("backend", "frontend", "login", "oauth2-proxy")
    listens = (Listener(8443),)
    reloads = True  # NGINX reads it for each handshake
    # NGINX reads the CA at its start; a reload would close connections with requests under way
    trust = Trust.AT_START

    def certify(self, site: Site) -> None:
        names, ips = host_of(site.origin)
        site.certificate(self.name, NAMESPACE, [self.name], extra_names=names, extra_ips=ips)

    def prepare(self, site: Site) -> None:
        site.config_map("ingress-site", NAMESPACE, {"site.conf": site_conf(site.origin)})


def host_of(origin: str) -> tuple[list[str], list[str]]:
    """The origin's host, as the certificate must name it: DNS names, IP addresses."""
    host = urllib.parse.urlsplit(origin).hostname or ""
    if host in ("localhost", "127.0.0.1"):
        return [], []  # every certificate names these already
    try:
        return [], [str(ipaddress.ip_address(host))]
    except ValueError:
        return [host], []


def site_conf(origin: str) -> str:
    """The part of nginx.conf that differs between sites.

    origin: the front door's URL for users. Raises UsageError like `canonical_origin`.
    """
    origin = canonical_origin(origin)
    authority = origin.removeprefix("https://")
    return (
        f'map "" $origin {{ default "{origin}"; }}\n'
        f'map "" $origin_authority {{ default "{authority}"; }}\n'
    )
