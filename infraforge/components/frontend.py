"""The dashboard: static files behind NGINX."""

from __future__ import annotations

from infraforge.components.base import Component, Listener
from infraforge.components.site import Site

NAMESPACE = "infraforge-application"


class Frontend(Component):
    """Reached by the ingress only; connects to nothing itself."""

    name = "frontend"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(8443),)
    reloads = True  # NGINX reads it for each handshake

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])
