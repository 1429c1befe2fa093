"""The front door: its certificate, and what of its configuration is known only on the spot."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from kubernetes import client

from infraforge.components.base import Component
from infraforge.components.site import Site
from infraforge.errors import ClusterError, UsageError

NAMESPACE = "infraforge-access"

_ORIGIN = re.compile(r"https://(?P<authority>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})(?::\d{1,5})?)")


class Ingress(Component):
    """NGINX: TLS, limits, the question who asks, and nothing of its own besides."""

    name = "ingress"
    namespace = NAMESPACE
    needs = ("namespaces",)

    def prepare(self, site: Site) -> None:
        names, ips = host_of(site.origin)
        site.certificate(self.name, NAMESPACE, [self.name], extra_names=names, extra_ips=ips)
        text = site_conf(site.origin, _dns_address(site))
        site.config_map("ingress-site", NAMESPACE, {"site.conf": text})


def host_of(origin: str) -> tuple[list[str], list[str]]:
    """What the certificate must name besides the Service: DNS names, and addresses."""
    host = urllib.parse.urlsplit(origin).hostname or ""
    if host in ("localhost", "127.0.0.1"):
        return [], []  # every certificate names them
    try:
        return [], [str(ipaddress.ip_address(host))]
    except ValueError:
        return [host], []


def site_conf(origin: str, dns: str) -> str:
    """The piece of nginx.conf that differs from site to site.

    origin: where users find the front door; dns: the address of the cluster's DNS Service.
    Raises UsageError for an origin that is more, or less, than https, a host and a port;
    ClusterError for a `dns` that is no address.
    """
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise UsageError(f"the origin must be https://HOST or https://HOST:PORT, not {origin!r}")
    try:
        address = ipaddress.ip_address(dns)
    except ValueError as error:
        raise ClusterError(f"the cluster's DNS Service has no address: {dns!r}") from error
    # upstreams have addresses of the family the cluster's own Services have
    six = address.version == 6
    resolver = f"[{address}] ipv4=off" if six else f"{address} ipv6=off"
    return (
        f"resolver {resolver} valid=10s;\n"
        "resolver_timeout 3s;\n"
        f'map "" $origin {{ default "{origin}"; }}\n'
        f'map "" $origin_authority {{ default "{found["authority"]}"; }}\n'
    )


def _dns_address(site: Site) -> str:
    try:
        service = site.core.read_namespaced_service("kube-dns", "kube-system")
    except client.ApiException as error:
        raise ClusterError(f"Service kube-system/kube-dns: {error.reason}") from error
    return service.spec.cluster_ip or ""
