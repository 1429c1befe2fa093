"""Revoke a component's tokens at Vault, and with them all leases of those tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import hvac
import requests
from kubernetes import client

from infraforge.components import containers
from infraforge.components.site import Site
from infraforge.errors import ClusterError, TimedOut
from infraforge.faults.kill import BackToStrength
from infraforge.probes import tokens
from infraforge.wait import seconds, wait_until

_SIGNS_IN_WITHIN = seconds(60)
_GONE = 404


@dataclass(frozen=True)
class TokensRevoked:
    """Revoke every token with the component's own policy; it may sign in again at any time."""

    component: str

    def describe(self) -> str:
        return f"revoke the tokens of {self.component}"

    def aim(self, site: Site) -> Revocation:
        held = tokens.held(site, self.component)
        if not held:
            raise ClusterError(f"{self.component} holds no token at Vault")
        strength = BackToStrength.of(site, self.component)
        return Revocation(SignedInAnew(frozenset(held), strength))


@dataclass(frozen=True)
class Revocation:
    """The revocation of these tokens."""

    lasting: ClassVar[bool] = False  # the component signs in again as soon as it can
    undo: SignedInAnew

    def strike(self, site: Site) -> None:
        vault = site.vault()
        try:
            for accessor in sorted(self.undo.revoked):
                vault.auth.token.revoke_accessor(accessor)
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise ClusterError(f"a token cannot be revoked: {error}") from error

    def took_effect(self, site: Site) -> str:
        left = tokens.held(site, self.undo.component) & self.undo.revoked
        return "" if left else f"none of {len(self.undo.revoked)} tokens is there any more"


@dataclass(frozen=True)
class SignedInAnew:
    """Wait for a token that is not among the revoked ones; without one, replace the pods.

    revoked: the accessors of the revoked tokens; strength: the number of pods to wait for.
    """

    kind: ClassVar[str] = "signed-in-anew"
    revoked: frozenset[str]
    strength: BackToStrength

    @property
    def component(self) -> str:
        return self.strength.component

    @property
    def parameters(self) -> Mapping[str, str]:
        return {**self.strength.parameters, "revoked": json.dumps(sorted(self.revoked))}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> SignedInAnew:
        revoked = frozenset(map(str, json.loads(parameters["revoked"])))
        return cls(revoked, BackToStrength.restored(parameters))

    def perform(self, site: Site) -> None:
        try:
            self._wait(site)
        except TimedOut:
            for pod in containers.pods(site, self.component):
                _delete(site, pod.metadata.name, pod.metadata.namespace)
            self._wait(site)
        self.strength.perform(site)

    def _wait(self, site: Site) -> None:
        wait_until(
            lambda: tokens.held(site, self.component) - self.revoked,
            _SIGNS_IN_WITHIN,
            every=1.0,
            ignoring=(ClusterError,),
            what=f"{self.component} has another token",
        )


def _delete(site: Site, name: str, namespace: str) -> None:
    try:
        site.core.delete_namespaced_pod(name, namespace)
    except client.ApiException as error:
        if error.status != _GONE:
            raise ClusterError(f"{name} cannot be deleted: {error.reason}") from error
