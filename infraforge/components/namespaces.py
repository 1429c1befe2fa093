"""The layers' namespaces, and what every component finds in them: CA and front door's URL."""

from __future__ import annotations

import re

from infraforge.components.base import Component
from infraforge.components.site import Site
from infraforge.errors import UsageError

ALL = (
    "infraforge-access",
    "infraforge-application",
    "infraforge-data",
    "infraforge-security",
    "infraforge-system",
)
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?", re.ASCII)


class Namespaces(Component):
    """Pod Security `restricted`, default-deny policies, ConfigMaps `platform-ca` and `platform`."""

    name = "namespaces"
    namespace = "infraforge-system"

    def configure(self, site: Site) -> None:
        """Hand out the CA's certificate and the origin; both are public."""
        if not _ORIGIN.fullmatch(site.origin):
            raise UsageError(f"the front door must be https://HOST[:PORT], not {site.origin!r}")
        for namespace in ALL:
            site.config_map("platform-ca", namespace, {"ca.crt": site.ca_file.read_text()})
            site.config_map("platform", namespace, {"origin": site.origin})
