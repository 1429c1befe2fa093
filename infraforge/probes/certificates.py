"""Certificates: those stored in the cluster, those that servers show, and their expiry.

A server's certificate is always verified, never merely read: OpenSSL's own error tells an expired
certificate from one of another CA.
"""

from __future__ import annotations

import base64
import datetime
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from infraforge import components
from infraforge.cluster import handshake
from infraforge.components import containers, renewal
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.table import Cell, Table

LONG = "in force, for more than a week"
_WEEK = datetime.timedelta(days=7)
_PODS = "/var/lib/kubelet/pods"
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def stored(site: Site) -> Mapping[str, Cell]:
    """The state of each certificate that the platform stores, by its place."""
    authorities = x509.load_pem_x509_certificates(site.ca_file.read_bytes())
    states: dict[str, Cell] = {
        f"platform CA {ca.serial_number:x}": of(ca, [ca]) for ca in authorities
    }
    secrets: Any = site.core.list_secret_for_all_namespaces(
        label_selector="app.kubernetes.io/part-of=infraforge",
        field_selector="type=kubernetes.io/tls",
    )
    for secret in secrets.items:
        place = f"Secret {secret.metadata.namespace}/{secret.metadata.name}"
        pem = base64.b64decode(secret.data["tls.crt"])
        states[place] = of(x509.load_pem_x509_certificate(pem), authorities)
    return states


def of(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> Cell:
    """LONG, or what is wrong with the certificate, in words.

    authorities: the CA; during a rotation, both.
    """
    if not any(_issued(certificate, authority) for authority in authorities):
        return "not issued by the platform CA"
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        return f"not in force before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
    return _until(certificate.not_valid_after_utc)


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def shown(site: Site) -> Mapping[str, Cell]:
    """The state of the certificate that each pod shows on each port (`POD:PORT`).

    None where none was seen.
    """
    states: dict[str, Cell] = {}
    for name in site.profile.components:
        component = components.load(name)
        if not component.listens:
            continue
        pods = containers.pods(site, name)
        if not pods:
            states[f"a pod of {name}"] = None
        for pod in pods:
            for listener in component.listens:
                place = f"{pod.metadata.name}:{listener.port}"
                states[place] = _shown_by(site, component, pod.metadata.name, listener)
    return states


def _shown_by(site: Site, component: Component, pod: str, listener: Listener) -> Cell:
    try:
        with site.forward(component.namespace, f"pod/{pod}", listener.port) as local:
            return shown_at(local, site.ca_file, postgres=listener.postgres)
    except ClusterError:
        return None


def serials_stored(site: Site) -> Mapping[str, str]:
    """The serial number of the certificate in each component's Secret."""
    having = [components.load(name) for name in site.profile.components]
    return {
        component.name: site.certificate_serial(component.name, component.namespace)
        for component in having
        if component.listens
    }


def renewed(site: Site, old: Mapping[str, str]) -> tuple[Table, Table]:
    """Two tables, observed and wanted: every Secret holds a new certificate, and each pod shows it.

    old: the former result of `serials_stored`. Raises ClusterError or OSError where a pod cannot
    be reached.
    """
    observed: dict[tuple[str, str], Cell] = {}
    wanted: dict[tuple[str, str], Cell] = {}
    new = serials_stored(site)
    for name in old.keys() | new.keys():
        serial = new.get(name, "")
        kept = f"Secret {name}-tls", "holds"
        observed[kept] = "another" if serial and serial != old.get(name) else "the old one, or none"
        wanted[kept] = "another"
        seen = renewal.shown(site, components.load(name))
        observed |= {(place, "shows"): what for place, what in seen.items()}
        wanted |= {(place, "shows"): serial for place in seen or [f"a pod of {name}"]}
    return Table(observed), Table(wanted)


def trusted(site: Site) -> tuple[Table, Table]:
    """Two tables, observed and wanted: the CAs (serial numbers) that each pod trusts.

    Read from its node, as programs in the pod read them. Raises Unable where nodes cannot be
    reached.
    """
    observed: dict[tuple[str, str], Cell] = {}
    wanted: dict[tuple[str, str], Cell] = {}
    ours = f"{site.authority.certificate.serial_number:x}"
    for name in site.profile.components:
        if components.load(name).trust is Trust.NONE:
            continue
        pods = containers.pods(site, name)
        for pod in pods:
            mounted = f"{_PODS}/{pod.metadata.uid}/volumes/kubernetes.io~configmap/platform-ca"
            pem = containers.on_node(site, pod.spec.node_name, "cat", f"{mounted}/ca.crt")
            cas = x509.load_pem_x509_certificates(pem.encode())
            told = " ".join(f"{ca.serial_number:x}" for ca in cas)
            observed[str(pod.metadata.name), "trusts"] = told
        places = [str(pod.metadata.name) for pod in pods] or [f"a pod of {name}"]
        wanted |= {(place, "trusts"): ours for place in places}
    return Table(observed), Table(wanted)


def shown_at(port: int, ca_file: Path, *, postgres: bool = False) -> Cell:
    """The state of the certificate that a port of this machine shows."""
    try:
        der = handshake.shown(port, ca_file, postgres=postgres)
    except handshake.NoTLS:
        return "no TLS"
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return "expired"
        return error.verify_message
    except OSError:
        return None
    return _until(x509.load_der_x509_certificate(der).not_valid_after_utc)


def _until(end: datetime.datetime) -> str:
    left = end - datetime.datetime.now(datetime.UTC)
    if left <= datetime.timedelta():
        return "expired"
    return LONG if left > _WEEK else f"ends in {left.total_seconds() / 3600:.0f} hours"
