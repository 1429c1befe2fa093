"""OAuth2 Proxy: its credentials at Vault and at its session store."""

from __future__ import annotations

import base64
import secrets

from infraforge.components import vault_identity
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.redis_sessions import RedisSessions
from infraforge.components.site import Site

NAMESPACE = "infraforge-access"


class OAuth2Proxy(Component):
    """Sessions in Redis, identity from Vault's OIDC provider."""

    name = "oauth2-proxy"
    namespace = NAMESPACE
    needs = ("vault", "redis-sessions")
    # it reads its certificate once, and stores no session itself: its pods can be replaced
    listens = (Listener(4180), Listener(4181))
    trust = Trust.AT_START

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """Write Secret `oauth2-proxy`; the cookie key in it is made once.

        The store has two users: one creates and ends sessions, the other may only read them.
        """
        client = vault_identity.client_credentials(site.vault())
        user, password = RedisSessions().credentials(site, self.name)
        looker, look = RedisSessions().credentials(site, f"{self.name}-check")
        kept = site.read_secret(self.name, NAMESPACE) or {}
        wanted = {
            "client-id": client.client_id,
            "client-secret": client.client_secret,
            "cookie-secret": kept.get("cookie-secret") or _aes_key(),
            "redis-username": user,
            "redis-password": password,
            "check-redis-username": looker,
            "check-redis-password": look,
        }
        if kept != wanted:
            site.write_secret(self.name, NAMESPACE, wanted)


def _aes_key() -> str:
    """256 random bits, in the base64 that OAuth2 Proxy decodes."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
