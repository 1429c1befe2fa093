"""PostgreSQL's Service leads to a standby, as after the end of a node it may for 50 s.

The Service follows a label that the primary's Patroni sets: one that was cut off cannot take its
own away, and the label is there before PostgreSQL is promoted (facts of Patroni 4.0.7; see
`components.members`). Whoever writes through the Service is refused meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, LiteralString

import psycopg
from kubernetes import client

from infraforge.components.postgres import NAMESPACE, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults import roles
from infraforge.faults.roles import Role, Who

SERVICE = "postgres"
POD_NAME = "statefulset.kubernetes.io/pod-name"
"""The label that a StatefulSet gives each of its pods."""
_END: LiteralString = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name IN ('backend', 'worker')"
)


@dataclass(frozen=True)
class Mislead:
    """Have the Service lead to a standby alone, and the platform's sessions begin anew."""

    who: Who = Role.SYNCHRONOUS

    def describe(self) -> str:
        return f"lead the Service {SERVICE} to {roles.words(self.who)}"

    def aim(self, site: Site) -> Misleading:
        selector = _selector(site)
        if POD_NAME in selector:
            raise ClusterError(f"Service {SERVICE} is led astray already; run: infraforge heal")
        return Misleading(roles.pod_of(site, self.who), LeadBack(selector))


@dataclass(frozen=True)
class Misleading:
    """The Service before it is led to that pod."""

    lasting: ClassVar[bool] = True
    pod: str
    undo: LeadBack

    def strike(self, site: Site) -> None:
        with Postgres().connect(site) as database:
            away = dict.fromkeys(self.undo.selector)
            _select(site, {**away, POD_NAME: self.pod})
            try:
                database.execute(_END)
            except psycopg.Error as error:
                raise ClusterError(f"the sessions cannot be ended: {error}") from error

    def took_effect(self, site: Site) -> str:
        slices: Any = client.DiscoveryV1Api(site.cluster.api).list_namespaced_endpoint_slice(
            NAMESPACE, label_selector=f"kubernetes.io/service-name={SERVICE}"
        )
        names = [
            endpoint.target_ref.name
            for piece in slices.items
            for endpoint in piece.endpoints or ()
            if endpoint.conditions.ready
        ]
        return f"Service {SERVICE} leads to {self.pod}" if names == [self.pod] else ""


@dataclass(frozen=True)
class LeadBack:
    """The Service's own selector."""

    kind: ClassVar[str] = "lead-back"
    selector: Mapping[str, str]

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"selector": json.dumps(dict(self.selector), sort_keys=True)}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> LeadBack:
        found = json.loads(parameters["selector"])
        return cls({str(key): str(value) for key, value in found.items()})

    def perform(self, site: Site) -> None:
        _select(site, {POD_NAME: None, **self.selector})


def _selector(site: Site) -> dict[str, str]:
    try:
        service: Any = site.core.read_namespaced_service(SERVICE, NAMESPACE)
    except client.ApiException as error:
        raise ClusterError(f"Service {SERVICE} cannot be read: {error.reason}") from error
    return dict(service.spec.selector)


def _select(site: Site, selector: Mapping[str, str | None]) -> None:
    try:
        site.core.patch_namespaced_service(SERVICE, NAMESPACE, {"spec": {"selector": selector}})
    except client.ApiException as error:
        raise ClusterError(f"Service {SERVICE} cannot be changed: {error.reason}") from error
