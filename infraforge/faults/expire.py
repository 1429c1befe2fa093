"""A component shows an expired certificate: clients that verify it no longer connect."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cryptography import x509
from kubernetes import client

from infraforge import components
from infraforge.components import containers, renewal
from infraforge.components.base import Component
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.faults.renew import RenewCertificate
from infraforge.wait import seconds, wait_until

_RAN_OUT = datetime.timedelta(hours=-1)
_TAKEN_UP_WITHIN = seconds(60)
_PROOF = "fault"


@dataclass(frozen=True)
class CertificateExpired:
    """Give the component a certificate that expired an hour ago, with the right CA and names.

    Only for a component that loads a new certificate while it runs.
    """

    component: str

    def describe(self) -> str:
        return f"let the certificate of {self.component} run out"

    def aim(self, site: Site) -> Expiry:
        component = components.load(self.component)
        if not component.reloads:
            raise ClusterError(f"{self.component} takes up no certificate as it runs")
        if not site.good_certificate(component.name, component.namespace):
            raise ClusterError(f"{self.component} has no good certificate to begin with")
        return Expiry(self.component, GoodCertificate(self.component))


@dataclass(frozen=True)
class Expiry:
    """The expiry of one component's certificate."""

    lasting: ClassVar[bool] = False  # a renewal ends it, which is what is tested
    component: str
    undo: GoodCertificate

    def strike(self, site: Site) -> None:
        """Returns once the component shows it."""
        component = components.load(self.component)
        secret = f"{component.name}-tls"
        kept = site.read_secret(secret, component.namespace)
        if kept is None:
            raise ClusterError(f"there is no Secret {secret}")
        names, addresses = _names(kept["tls.crt"])
        pair = site.authority.issue(names, addresses, _RAN_OUT)
        values = {**kept, "tls.crt": pair.cert_pem, "tls.key": pair.key_pem}
        site.write_secret(secret, component.namespace, values, kind="kubernetes.io/tls")
        renewal.hurry(site, component, renewal.ANNOTATION, _PROOF)

        def taken_up() -> bool:
            # once it shows the expired certificate, verified connections to it fail
            with contextlib.suppress(ClusterError, OSError):
                component.reload(site)
            return renewal.out_of_time(site, component)

        wait_until(taken_up, _TAKEN_UP_WITHIN, every=2.0, what=f"{self.component} shows it")

    def took_effect(self, site: Site) -> str:
        if not renewal.out_of_time(site, components.load(self.component)):
            return ""
        return f"{self.component} shows a certificate that has run out"


@dataclass(frozen=True)
class GoodCertificate:
    """Have the component show a good certificate, from new pods if needed; else do nothing."""

    kind: ClassVar[str] = "good-certificate"
    component: str

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"component": self.component}

    @classmethod
    def restored(cls, parameters: Mapping[str, str]) -> GoodCertificate:
        return cls(parameters["component"])

    def perform(self, site: Site) -> None:
        component = components.load(self.component)
        if _shows_what_it_should(site, component):
            return
        if renewal.out_of_time(site, component):
            component.certify(site)  # issues a new one: an expired one is not kept
            for pod in containers.pods(site, self.component):
                with contextlib.suppress(client.ApiException):  # the pod is already gone
                    site.core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
        RenewCertificate(self.component).perform(site)


def _shows_what_it_should(site: Site, component: Component) -> bool:
    wanted = site.good_certificate(component.name, component.namespace)
    try:
        return bool(wanted) and set(renewal.shown(site, component).values()) == {wanted}
    except (ClusterError, OSError):
        return False


def _names(pem: str) -> tuple[list[str], list[str]]:
    """The DNS names and addresses that a certificate is for."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return names.get_values_for_type(x509.DNSName), addresses
