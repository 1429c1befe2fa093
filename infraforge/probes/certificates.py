"""Certificates: those that are stored in the cluster, those that servers show, and their ends.

A server's certificate is looked at by verifying it, never by leaving that out: one that has run
out is told from one that is somebody else's by what OpenSSL says of it.
"""

from __future__ import annotations

import base64
import datetime
import ssl
from collections.abc import Mapping
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
from infraforge.table import Cell

LONG = "in force, for more than a week"
_WEEK = datetime.timedelta(days=7)
_PODS = "/var/lib/kubelet/pods"
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def stored(site: Site) -> Mapping[str, Cell]:
    """What is to be said of each certificate that the platform keeps, by its place."""
    ca_pem = site.ca_file.read_bytes()
    authority = x509.load_pem_x509_certificate(ca_pem)
    found: dict[str, Cell] = {"platform CA": of(ca_pem, authority)}
    secrets: Any = site.core.list_secret_for_all_namespaces(
        label_selector="app.kubernetes.io/part-of=infraforge",
        field_selector="type=kubernetes.io/tls",
    )
    for secret in secrets.items:
        place = f"Secret {secret.metadata.namespace}/{secret.metadata.name}"
        found[place] = of(base64.b64decode(secret.data["tls.crt"]), authority)
    return found


def of(pem: bytes, authority: x509.Certificate) -> Cell:
    """LONG, or in words what is wrong with the certificate."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "not issued by the platform CA"
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        return f"not in force before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
    return _until(certificate.not_valid_after_utc)


def shown(site: Site) -> Mapping[str, Cell]:
    """What is to be said of the certificate that each pod shows on each port (`POD:PORT`).

    None where none was seen.
    """
    found: dict[str, Cell] = {}
    for name in site.profile.components:
        component = components.load(name)
        for pod in containers.pods(site, name) if component.listens else ():
            for listener in component.listens:
                place = f"{pod.metadata.name}:{listener.port}"
                found[place] = _shown_by(site, component, pod.metadata.name, listener)
    return found


def _shown_by(site: Site, component: Component, pod: str, listener: Listener) -> Cell:
    try:
        with site.forward(component.namespace, f"pod/{pod}", listener.port) as local:
            return shown_at(local, site.ca_file, postgres=listener.postgres)
    except ClusterError:
        return None


def serials_stored(site: Site) -> Mapping[str, str]:
    """The serial number of the certificate that each component's Secret holds."""
    having = [components.load(name) for name in site.profile.components]
    return {
        component.name: site.certificate_serial(component.name, component.namespace)
        for component in having
        if component.listens
    }


def serials_shown(
    site: Site, stored: Mapping[str, str]
) -> tuple[Mapping[tuple[str, str], Cell], Mapping[tuple[str, str], Cell]]:
    """The serial number that each pod shows on each port, and the one that it should.

    Raises ClusterError or OSError where one cannot be asked.
    """
    found: dict[tuple[str, str], Cell] = {}
    wanted: dict[tuple[str, str], Cell] = {}
    for name, serial in stored.items():
        seen = renewal.shown(site, components.load(name))
        found |= {(place, "shows"): what for place, what in seen.items()}
        wanted |= {(place, "shows"): serial for place in seen or [f"a pod of {name}"]}
    return found, wanted


def trusted(site: Site) -> Mapping[str, Cell]:
    """The serial numbers of the CAs that each pod finds where it is told whom to trust.

    Seen from its node, as programs see it. Raises Unable where nodes cannot be reached.
    """
    found: dict[str, Cell] = {}
    for name in site.profile.components:
        if components.load(name).trust is Trust.NONE:
            continue
        for pod in containers.pods(site, name):
            mounted = f"{_PODS}/{pod.metadata.uid}/volumes/kubernetes.io~configmap/platform-ca"
            pem = containers.on_node(site, pod.spec.node_name, "cat", f"{mounted}/ca.crt")
            cas = x509.load_pem_x509_certificates(pem.encode())
            found[pod.metadata.name] = " ".join(f"{ca.serial_number:x}" for ca in cas)
    return found


def shown_at(port: int, ca_file: Path, *, postgres: bool = False) -> Cell:
    """The same of whoever answers on this machine's port."""
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
