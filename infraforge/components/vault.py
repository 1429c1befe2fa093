"""Vault: secrets and identity. Opened on the first start, then kept open by its own unsealer."""

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
    trust = Trust.RUNNING  # as a client of PostgreSQL; so does its unsealer

    def given(self, site: Site) -> str:
        """What its components may do there is settled as it starts."""
        return repr(vault_bootstrap.accounts(site))

    def certify(self, site: Site) -> None:
        """Also for the members' own names."""
        site.certificate(
            self.name,
            NAMESPACE,
            [self.name],
            extra_names=[f"*.vault-internal.{NAMESPACE}.svc"],
        )

    def started(self, site: Site) -> None:
        """Initialise, unseal, and leave no root token behind."""
        try:
            vault_bootstrap.open_up(site, _MEMBER)
        except _FAILURES as error:
            raise ClusterError(f"Vault cannot be opened: {error}") from error
        self._hurry_key(site)

    def configure(self, site: Site) -> None:
        """Groups, people where Vault keeps them, and the OIDC provider, as `identity.toml` says."""
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
            raise ClusterError(f"Vault does not take the identities: {error}") from error

    def reload(self, site: Site) -> None:
        """By SIGHUP: Vault stays open, and its connections too."""
        for pod in containers.pods(site, self.name):
            site.execute(NAMESPACE, pod.metadata.name, self.name, "unsealer", "reload")

    def trusted(self, site: Site, pod: Any) -> str:
        """As the unsealer says: there is no other program in that image that could."""
        return site.execute(NAMESPACE, pod.metadata.name, self.name, "unsealer", "trusts")

    # what suites and probes use

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
        """Have the new key mounted now: a change of its pod makes the kubelet look at once.

        By itself it would look within a minute, in which a crash would leave Vault sealed.
        """
        note = {"infraforge.io/unseal-key": "stored"}
        site.core.patch_namespaced_pod(_MEMBER, NAMESPACE, {"metadata": {"annotations": note}})


def audit_entry(line: str) -> Mapping[str, Any] | None:
    """The audit entry in a line of output; None where the line is something else."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("type") not in ("request", "response"):
        return None
    return found
