"""Vault's present state: sealed or not, and the policies of its tokens."""

from __future__ import annotations

from collections.abc import Mapping

import hvac
import requests

from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive

_GONE = ("invalid accessor", "bad token")  # Vault's messages for a token that has ended
_FAILURES = (hvac.exceptions.VaultError, requests.RequestException)


def sealed(site: Site) -> bool:
    """Whether Vault is sealed. Raises ClusterError where it does not answer, or is not active."""
    try:
        status = site.vault().sys.read_health_status(method="GET")
    except _FAILURES as error:
        raise ClusterError(f"Vault did not say whether it is sealed: {error}") from error
    answer = status if isinstance(status, dict) else status.json()
    return bool(answer["sealed"])


def policies(site: Site) -> tuple[frozenset[str], ...]:
    """The policies of each existing token.

    Raises Inconclusive where Vault refuses to show one: it might have any policy.
    """
    return tuple(_policies_by_accessor(site).values())


def held(site: Site, policy: str) -> frozenset[str]:
    """The accessors of the tokens that have this policy. Raises as `policies` does."""
    return frozenset(
        accessor for accessor, names in _policies_by_accessor(site).items() if policy in names
    )


def _policies_by_accessor(site: Site) -> Mapping[str, frozenset[str]]:
    vault = site.vault()
    by_accessor = {}
    try:
        for accessor in vault.auth.token.list_accessors()["data"]["keys"]:
            try:
                data = vault.auth.token.lookup_accessor(accessor)["data"]
            except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden) as error:
                if any(gone in str(error) for gone in _GONE):
                    continue  # it ended between the listing and this request
                raise
            by_accessor[accessor] = frozenset(map(str, data["policies"]))
    except hvac.exceptions.Forbidden as error:
        raise Inconclusive(f"Vault refuses to show a token: {error}") from error
    except _FAILURES as error:
        raise ClusterError(f"Vault did not list its tokens: {error}") from error
    return by_accessor
