"""An impostor takes PostgreSQL's place: another pod behind the name that clients connect to.

Of a single member that is the Service's. Several are connected to by their own names, which the
headless Service gives them; then the impostor has the first one's, and the others have none.

The impostor's certificate has all the right names. What differs is who signed it: clients must
trust one from the platform CA, which proves that they reach the impostor, and must tell nothing to
one from another CA.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from kubernetes import client

from infraforge.cluster.pki import Authority, Pair
from infraforge.components import members
from infraforge.components.postgres import NAMESPACE, Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.probes.reach import python_image
from infraforge.wait import seconds, wait_until

NAME = "postgres-impostor"
_SERVICE = "postgres"
_MEMBERS = "postgres-internal"
_LABEL = "infraforge.io/impostor"
_LABELS = {"app.kubernetes.io/name": "postgres", _LABEL: "postgres"}
_PROGRAM = Path(__file__).with_name("impostor_pod.py")
_NAMES = [
    f"{_SERVICE}.{NAMESPACE}.svc",
    f"{_SERVICE}.{NAMESPACE}",
    _SERVICE,
    f"*.{members.DOMAIN}",
]
_PORT = 5432
_UID = 10001
_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name IN ('backend', 'worker')"
)
_STARTS = seconds(60)
_GONE = 404


@dataclass(frozen=True)
class Impostor:
    """Lead all clients of PostgreSQL to an impostor. known: the platform CA signed for it."""

    known: bool

    def describe(self) -> str:
        return f"an impostor of postgres with {'the platform' if self.known else 'a foreign'} CA"

    def aim(self, site: Site) -> Masquerade:
        pods = members.of(site.profile)
        name = _SERVICE if len(pods) == 1 else _MEMBERS
        try:
            service: Any = site.core.read_namespaced_service(name, NAMESPACE)
        except client.ApiException as error:
            raise ClusterError(f"Service {name} cannot be read: {error.reason}") from error
        selector = dict(service.spec.selector)
        if _LABEL in selector:
            raise ClusterError("an impostor is there already; remove it: infraforge heal")
        place = {} if len(pods) == 1 else {"hostname": pods[0], "subdomain": _MEMBERS}
        return Masquerade(Unmask(selector, name), self.known, python_image(site), place)


@dataclass(frozen=True)
class Masquerade:
    """An impostor before it is started.

    image: one with Python that the node already has; place: the pod's name among the members.
    """

    lasting: ClassVar[bool] = True
    undo: Unmask
    known: bool
    image: str
    place: Mapping[str, str] = field(default_factory=dict)

    def strike(self, site: Site) -> None:
        site.write_secret(NAME, NAMESPACE, _tls(_certificate(site, known=self.known)))
        try:
            site.core.create_namespaced_pod(NAMESPACE, _pod(self.image, self.place))
            with Postgres().connect(site) as database:  # before the Service leads elsewhere
                away = dict.fromkeys(self.undo.selector)
                _select(site, self.undo.service, {**away, _LABEL: "postgres"})
                wait_until(
                    lambda: self.took_effect(site),
                    _STARTS,
                    what="the Service leads to the impostor",
                )
                database.execute(_END)
        except (client.ApiException, psycopg.Error) as error:
            raise ClusterError(f"the impostor cannot be started: {error}") from error

    def took_effect(self, site: Site) -> str:
        slices: Any = client.DiscoveryV1Api(site.cluster.api).list_namespaced_endpoint_slice(
            NAMESPACE, label_selector=f"kubernetes.io/service-name={self.undo.service}"
        )
        names = [
            endpoint.target_ref.name
            for piece in slices.items
            for endpoint in piece.endpoints or ()
            if endpoint.conditions.ready
        ]
        return f"the Service leads to {NAME}" if names == [NAME] else ""


@dataclass(frozen=True)
class Unmask:
    """Restore the Service's own selector and remove the impostor."""

    kind: ClassVar[str] = "unmask"
    selector: Mapping[str, str]
    service: str = _SERVICE

    @property
    def parameters(self) -> Mapping[str, str]:
        selector = json.dumps(dict(self.selector), sort_keys=True)
        return {"selector": selector, "service": self.service}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> Unmask:
        found = json.loads(parameters["selector"])
        selector = {str(key): str(value) for key, value in found.items()}
        return cls(selector, parameters.get("service", _SERVICE))

    def perform(self, site: Site) -> None:
        _select(site, self.service, {_LABEL: None, **self.selector})
        for remove in (site.core.delete_namespaced_pod, site.core.delete_namespaced_secret):
            try:
                remove(NAME, NAMESPACE, grace_period_seconds=0)
            except client.ApiException as error:
                if error.status != _GONE:
                    raise ClusterError(f"{NAME} cannot be removed: {error.reason}") from error
        wait_until(lambda: _gone(site), _STARTS, what=f"{NAME} is gone")


def _select(site: Site, service: str, selector: Mapping[str, str | None]) -> None:
    change = {"spec": {"selector": dict(selector)}}
    try:
        site.core.patch_namespaced_service(service, NAMESPACE, change)
    except client.ApiException as error:
        raise ClusterError(f"Service {service} cannot be changed: {error.reason}") from error


def _gone(site: Site) -> bool:
    pods: Any = site.core.list_namespaced_pod(NAMESPACE, label_selector=_LABEL)
    return not pods.items


def _certificate(site: Site, *, known: bool) -> Pair:
    if known:
        return site.authority.issue(_NAMES)
    with tempfile.TemporaryDirectory() as folder:
        return Authority.load_or_create(Path(folder) / "foreign").issue(_NAMES)


def _tls(pair: Pair) -> Mapping[str, str]:
    return {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem}


def _pod(image: str, place: Mapping[str, str]) -> dict[str, Any]:
    """The impostor's pod: Pod Security `restricted`, no service account token."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": _LABELS},
        "spec": {
            **place,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _UID,
                "runAsGroup": _UID,
                "fsGroup": _UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "impostor",
                    "image": image,
                    "command": ["python3", "-c", _PROGRAM.read_text(), str(_PORT), "/tls"],
                    "ports": [{"name": "postgres", "containerPort": _PORT}],
                    "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "16Mi"},
                        "limits": {"cpu": "500m", "memory": "96Mi", "ephemeral-storage": "96Mi"},
                    },
                }
            ],
            "volumes": [{"name": "tls", "secret": {"secretName": NAME, "defaultMode": 288}}],
        },
    }
