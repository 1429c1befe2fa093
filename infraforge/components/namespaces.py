"""The layers' namespaces, and what every component finds in them: CA and front door's URL."""

from __future__ import annotations

from collections.abc import Mapping

from infraforge.components.base import Component
from infraforge.components.site import Site

ALL = (
    "infraforge-access",
    "infraforge-application",
    "infraforge-data",
    "infraforge-security",
    "infraforge-system",
)


class Namespaces(Component):
    """Pod Security `restricted`, default-deny policies, ConfigMaps `platform-ca` and `platform`."""

    name = "namespaces"
    namespace = "infraforge-system"

    def given(self, site: Site) -> str:
        return repr((site.origin, trusted(site)))

    def configure(self, site: Site) -> None:
        """Hand out the CA's certificate and the origin; both are public."""
        for namespace in ALL:
            site.config_map("platform", namespace, {"origin": site.origin})
        hand_out_ca(site)


def hand_out_ca(site: Site) -> None:
    """Put what is to be trusted now where every component finds it, and the registry's CA."""
    for namespace in ALL:
        site.config_map("platform-ca", namespace, trusted(site))


def trusted(site: Site) -> Mapping[str, str]:
    """What is in ConfigMap `platform-ca`."""
    found = {"ca.crt": site.ca_file.read_text()}
    if site.registry_ca_file.exists():
        found["registry.crt"] = site.registry_ca_file.read_text()
    return found
