"""The platform API: its certificate; what it may do is all in its manifests."""

from __future__ import annotations

from infraforge.components.base import Component, Listener
from infraforge.components.site import SYSTEM, Site

NAMESPACE = SYSTEM
AUDIENCE = "platform-api"
PORT = 8443


class PlatformApi(Component):
    """Flask under gunicorn; answers the backend alone, and may do little at the API server."""

    name = "platform-api"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(PORT),)
    reloads = True  # gunicorn reads it for every connection

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])
