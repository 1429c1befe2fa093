"""The platform API: its certificate; its manifests define everything else, its rights included."""

from __future__ import annotations

from infraforge.components.base import Component, Listener
from infraforge.components.site import SYSTEM, Site

NAMESPACE = SYSTEM
AUDIENCE = "platform-api"
PORT = 8443


class PlatformApi(Component):
    """Flask under gunicorn; serves the backend alone, with few rights at the API server."""

    name = "platform-api"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(PORT),)
    reloads = True  # gunicorn reads it for each connection

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])
