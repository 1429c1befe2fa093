"""Vault: secrets and identity. The first start unseals it; its own unsealer keeps it so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import hvac
import requests

from infraforge.components import containers, vault_bootstrap, vault_identity
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site
from infraforge.components.vault_identity import Identities
from infraforge.errors import ClusterError

NAMESPACE = vault_bootstrap.NAMESPACE
_MEMBER = "vault-0"
_FAILURES = (hvac.exceptions.VaultError, requests.RequestException)
_SELECTOR = "app.kubernetes.io/name=vault"


class Vault(Component):
    """Raft storage, OIDC provider, passwords, KV, database engine, audit to standard output."""

    name = "vault"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(8200),)
    reloads = True
    trust = Trust.RUNNING  # Vault as a client of PostgreSQL, and its unsealer

    def given(self, site: Site) -> str:
        """The components' rights at Vault, which are written as it starts."""
        return repr(vault_bootstrap.accounts(site))

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        site.certificate(
            self.name,
            NAMESPACE,
            [self.name],
            extra_names=[f"*.vault-internal.{NAMESPACE}.svc"],
        )

    def started(self, site: Site) -> None:
        """Initialise and unseal it, and leave no root token behind."""
        try:
            vault_bootstrap.open_up(site, _MEMBER)
        except _FAILURES as error:
            raise ClusterError(f"Vault cannot be unsealed: {error}") from error
        self._hurry_key(site)

    def configure(self, site: Site) -> None:
        """Write groups, people (if Vault keeps them) and the OIDC provider of `identity.toml`."""
        identities = Identities.load(site.tree)
        vault = site.vault()
        try:
            vault_identity.put_groups(vault, identities.groups)
            if site.profile.identity.method == "userpass":
                passwords = vault_identity.passwords(site)
                for user in identities.users:
                    vault_identity.put_user(site, vault, user, passwords[user.name])
            vault_identity.put_provider(vault, identities.scopes, f"{site.origin}/oauth2/callback")
        except _FAILURES as error:
            raise ClusterError(f"Vault refused the identities: {error}") from error

    def reload(self, site: Site) -> None:
        """Send SIGHUP: Vault stays unsealed, and its connections stay open."""
        for pod in containers.pods(site, self.name):
            site.execute(NAMESPACE, pod.metadata.name, self.name, "unsealer", "reload")

    def trusted(self, site: Site, pod: Any) -> str:
        """The unsealer's own report: its image has no other program that could tell."""
        return site.execute(NAMESPACE, pod.metadata.name, self.name, "unsealer", "trusts")

    # for suites and probes

    def audit_lines(self, site: Site, since: datetime) -> tuple[Mapping[str, Any], ...]:
        """Audit entries (requests and responses, values hashed by Vault) not older than `since`.

        since: with a time zone. Read from the pods' standard output, oldest first.
        """
        entries = []
        pods: Any = site.core.list_namespaced_pod(NAMESPACE, label_selector=_SELECTOR)
        for pod in pods.items:
            for line in site.output(NAMESPACE, pod.metadata.name, self.name, since).splitlines():
                entry = audit_entry(line)
                if entry and datetime.fromisoformat(entry["time"]) >= since:
                    entries.append(entry)
        return tuple(sorted(entries, key=lambda entry: str(entry["time"])))

    def _hurry_key(self, site: Site) -> None:
        """Have the new key mounted now: a change to the pod makes the kubelet sync it at once.

        Otherwise the kubelet syncs within a minute, and a crash before that leaves Vault sealed.
        """
        note = {"infraforge.io/unseal-key": "stored"}
        site.core.patch_namespaced_pod(_MEMBER, NAMESPACE, {"metadata": {"annotations": note}})


def audit_entry(line: str) -> Mapping[str, Any] | None:
    """The audit entry in a line of output; None where the line is not one."""
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("type") not in ("request", "response"):
        return None
    return entry
