"""The layers' namespaces, with the CA and the front door's URL that every component finds there."""

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
        """Write the CA's certificate and the origin to ConfigMaps; both are public."""
        for namespace in ALL:
            site.config_map("platform", namespace, {"origin": site.origin})
        hand_out_ca(site)


def hand_out_ca(site: Site) -> None:
    """Write the trusted CAs, the registry's included, to the ConfigMap that components mount."""
    for namespace in ALL:
        site.config_map("platform-ca", namespace, trusted(site))


def trusted(site: Site) -> Mapping[str, str]:
    """The content of ConfigMap `platform-ca`."""
    certificates = {"ca.crt": site.ca_file.read_text()}
    if site.registry_ca_file.exists():
        certificates["registry.crt"] = site.registry_ca_file.read_text()
    return certificates
