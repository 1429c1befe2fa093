"""OAuth2 Proxy: its credentials at Vault and at its session store."""

from __future__ import annotations

import base64
import secrets

from infraforge.components import vault_identity
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.passwords import passwords_of
from infraforge.components.redis_sessions import RedisSessions
from infraforge.components.site import Site

NAMESPACE = "infraforge-access"
SENTINELS = "sentinels"
"""The overlay that asks the sentinels for the store's master."""
_SENTINEL = "redis-sentinel"
_SENTINEL_USER = "client"


class OAuth2Proxy(Component):
    """Sessions in Redis, identity from Vault's OIDC provider."""

    name = "oauth2-proxy"
    namespace = NAMESPACE
    needs = ("vault", "redis-sessions")
    # it reads its certificate once, and stores no session itself: its pods can be replaced
    listens = (Listener(4180), Listener(4181))
    trust = Trust.AT_START

    def given(self, site: Site) -> str:
        """Whether it asks sentinels: then its Secret has a password for them."""
        return SENTINELS if _asks_sentinels(site) else ""

    def certify(self, site: Site) -> None:
        site.certificate(self.name, NAMESPACE, [self.name])

    def prepare(self, site: Site) -> None:
        """Write Secret `oauth2-proxy`; the cookie key in it is made once.

        The store has two users: one creates and ends sessions, the other may only read them. Where
        sentinels are asked for the store's master, both processes are the same user there.
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
        if _asks_sentinels(site):
            asked = passwords_of(site, _SENTINEL, NAMESPACE, [_SENTINEL_USER])
            wanted["sentinel-password"] = asked[_SENTINEL_USER]
        if kept != wanted:
            site.write_secret(self.name, NAMESPACE, wanted)


def _asks_sentinels(site: Site) -> bool:
    return SENTINELS in site.profile.components[OAuth2Proxy.name].get("overlays", ())


def _aes_key() -> str:
    """256 random bits, in the base64 that OAuth2 Proxy decodes."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
