"""Vault as it is now: sealed or not, and what the tokens it knows may do."""

from __future__ import annotations

from collections.abc import Mapping

import hvac
import requests

from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive

_GONE = ("invalid accessor", "bad token")  # Vault's words for a token that has ended
_FAILURES = (hvac.exceptions.VaultError, requests.RequestException)


def sealed(site: Site) -> bool:
    """Whether Vault is sealed. Raises ClusterError where it does not say, or is not active."""
    try:
        status = site.vault().sys.read_health_status(method="GET")
    except _FAILURES as error:
        raise ClusterError(f"Vault does not say whether it is sealed: {error}") from error
    answer = status if isinstance(status, dict) else status.json()
    return bool(answer["sealed"])


def policies(site: Site) -> tuple[frozenset[str], ...]:
    """The policies of each token there is.

    Raises Inconclusive where Vault refuses a look at one: it might be any.
    """
    return tuple(_policies_by_accessor(site).values())


def held(site: Site, policy: str) -> frozenset[str]:
    """The accessors of the tokens that have this policy. Raises as `policies` does."""
    return frozenset(
        accessor for accessor, names in _policies_by_accessor(site).items() if policy in names
    )


def _policies_by_accessor(site: Site) -> Mapping[str, frozenset[str]]:
    vault = site.vault()
    found = {}
    try:
        for accessor in vault.auth.token.list_accessors()["data"]["keys"]:
            try:
                data = vault.auth.token.lookup_accessor(accessor)["data"]
            except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden) as error:
                if any(gone in str(error) for gone in _GONE):
                    continue  # ended between the list and the look
                raise
            found[accessor] = frozenset(map(str, data["policies"]))
    except hvac.exceptions.Forbidden as error:
        raise Inconclusive(f"Vault hides a token: {error}") from error
    except _FAILURES as error:
        raise ClusterError(f"Vault does not list its tokens: {error}") from error
    return found
