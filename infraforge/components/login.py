"""The login page: its form key, which client it answers, and who checks passwords at Vault."""

from __future__ import annotations

import secrets

from infraforge.components import vault_identity
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site

NAMESPACE = "infraforge-access"


class Login(Component):
    """Flask under gunicorn; checks passwords at Vault and keeps nothing."""

    name = "login"
    namespace = NAMESPACE
    needs = ("vault",)
    listens = (Listener(8443),)
    reloads = True  # gunicorn reads it for every connection
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        site.secret(self.name, NAMESPACE, lambda: {"key": secrets.token_urlsafe(48)})
        client_id = vault_identity.client_credentials(site.vault()).client_id
        method = f"auth/{site.profile.identity.method}"
        values = {"client-id": client_id, "auth-path": method}
        site.config_map("login-client", NAMESPACE, values)
