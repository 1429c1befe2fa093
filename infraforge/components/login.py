"""The login page: its form key, the client that it serves, and its access to Vault."""

from __future__ import annotations

import secrets

from infraforge.components import vault_identity
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site

NAMESPACE = "infraforge-access"


class Login(Component):
    """Flask under gunicorn; verifies passwords at Vault and stores nothing."""

    name = "login"
    namespace = NAMESPACE
    needs = ("vault",)
    listens = (Listener(8443),)
    reloads = True  # gunicorn reads it for each connection
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        site.secret(self.name, NAMESPACE, lambda: {"key": secrets.token_urlsafe(48)})
        client_id = vault_identity.client_credentials(site.vault()).client_id
        method = f"auth/{site.profile.identity.method}"
        values = {"client-id": client_id, "auth-path": method}
        site.config_map("login-client", NAMESPACE, values)
