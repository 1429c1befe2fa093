"""Bring a new certificate, or another CA, from its Secret to every connection, unnoticed.

Most components load it while they run: once the kubelet has put the new files into the pod, they
read them for the next connection, by themselves or when told. The others get new pods, each started
before an old one ends. Either way the work is done only when every pod of the component shows the
new certificate on every port.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Mapping

from cryptography import x509
from kubernetes import client

from infraforge.cluster import handshake
from infraforge.components import containers
from infraforge.components.base import Component, Listener
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import Deadline, wait_until

ANNOTATION = "infraforge.io/certificate"
TRUST = "infraforge.io/trust"
_NOT_YET = (ClusterError, OSError)
_OUT_OF_TIME = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


def shown(site: Site, component: Component) -> Mapping[str, str]:
    """The serial number that each pod shows on each port: `POD:PORT` → hex.

    Raises ClusterError or OSError where a port cannot be reached.
    """
    with contextlib.ExitStack() as open_ways:
        ways = _ways(site, component, open_ways)
        return {
            f"{pod}:{listener.port}": _serial(site, local, listener)
            for (pod, listener), local in ways.items()
        }


def out_of_time(site: Site, component: Component) -> bool:
    """Whether a pod shows a certificate that has expired or is not valid yet.

    Such a pod cannot be told anything over verified TLS, so it has to be replaced.
    """
    try:
        shown(site, component)
    except ssl.SSLCertVerificationError as error:
        return error.verify_code in _OUT_OF_TIME
    except _NOT_YET:
        return False  # whatever the error: the wait for the new certificate reports it better
    return False


def take_up(site: Site, component: Component, within: float | Deadline) -> None:
    """Make all pods show the certificate that is in the Secret now.

    Raises TimedOut, with what was shown last, when they do not in time.
    within: seconds, or a deadline.
    """
    wanted = site.certificate_serial(component.name, component.namespace)
    hurry(site, component, ANNOTATION, wanted)

    def all_new() -> bool:
        component.reload(site)
        # a forward that met a port while it reopened is dead: each look makes its own
        now = shown(site, component)
        old = {place: serial for place, serial in now.items() if serial != wanted}
        if not now:
            raise ClusterError("it has no pod")
        if old:
            raise ClusterError(f"it still shows {old}, not {wanted}")
        return True

    wait_until(
        all_new,
        within,
        every=2.0,
        ignoring=_NOT_YET,
        what=f"{component.name} shows its new certificate",
    )


def take_up_trust(site: Site, component: Component, within: float | Deadline) -> None:
    """Make all pods trust the content of `ca_file` as it is now.

    Raises TimedOut when a pod's files are not the new ones in time.
    """
    wanted = site.ca_file.read_text()
    hurry(site, component, TRUST, digest(wanted))

    def all_new() -> bool:
        pods = containers.pods(site, component.name)
        return bool(pods) and all(component.trusted(site, pod) == wanted for pod in pods)

    wait_until(
        all_new,
        within,
        every=2.0,
        ignoring=_NOT_YET,
        what=f"{component.name} has the trusted CAs in its pods",
    )
    component.retrust(site)


def gone(site: Site, component: Component, within: float | Deadline) -> None:
    """Wait until its terminating pods are gone: they still trust what they did before."""

    def none_left() -> bool:
        pods = containers.pods(site, component.name, dying=True)
        return all(pod.metadata.deletion_timestamp is None for pod in pods)

    wait_until(none_left, within, every=1.0, what=f"the old pods of {component.name} are gone")


def digest(pem: str) -> str:
    """A short hash of these certificates, for an annotation."""
    return hashlib.sha256(pem.encode()).hexdigest()[:16]


def hurry(site: Site, component: Component, name: str, value: str) -> None:
    """Have new files mounted now: a change to a pod makes the kubelet sync it at once."""
    note = {"metadata": {"annotations": {name: value}}}
    for pod in containers.pods(site, component.name):
        with contextlib.suppress(client.ApiException):  # gone: its successor has the new files
            site.core.patch_namespaced_pod(pod.metadata.name, pod.metadata.namespace, note)


def _ways(
    site: Site, component: Component, open_ways: contextlib.ExitStack
) -> dict[tuple[str, Listener], int]:
    return {
        (pod.metadata.name, listener): open_ways.enter_context(
            site.forward(component.namespace, f"pod/{pod.metadata.name}", listener.port)
        )
        for pod in containers.pods(site, component.name)
        for listener in component.listens
    }


def _serial(site: Site, port: int, listener: Listener) -> str:
    der = handshake.shown(port, site.ca_file, postgres=listener.postgres)
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"
