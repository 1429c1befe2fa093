"""A new certificate, or another CA, from where it is kept to every connection: nobody notices.

Most components take it up while they run: once the kubelet has put the new files into the pod, they
read them for the next connection, by themselves or when told. Of the others the pods are replaced,
a new one before the old one goes. Either way the work is done only when every pod of the component
shows the new certificate on every port.
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
    """The serial number that each pod shows on each port, by `POD:PORT`.

    Raises ClusterError or OSError where one cannot be asked.
    """
    with contextlib.ExitStack() as open_ways:
        ways = _ways(site, component, open_ways)
        return {
            f"{pod}:{listener.port}": _serial(site, local, listener)
            for (pod, listener), local in ways.items()
        }


def out_of_time(site: Site, component: Component) -> bool:
    """Whether a pod shows a certificate that is valid no more, or not yet.

    Nobody can tell such a pod anything over verified TLS: it has to be replaced.
    """
    try:
        shown(site, component)
    except ssl.SSLCertVerificationError as error:
        return error.verify_code in _OUT_OF_TIME
    except _NOT_YET:
        return False  # whatever it is, waiting for the new one tells it better
    return False


def take_up(site: Site, component: Component, within: float | Deadline) -> None:
    """Have all pods show the certificate that is in the Secret now.

    Raises TimedOut, with what was shown last, when they do not in time.
    within: seconds, or a deadline.
    """
    wanted = site.certificate_serial(component.name, component.namespace)
    hurry(site, component, ANNOTATION, wanted)

    def all_new() -> bool:
        component.reload(site)
        # a way that met a port as it was opened anew is dead: each look makes its own
        now = shown(site, component)
        old = {place: serial for place, serial in now.items() if serial != wanted}
        if not now:
            raise ClusterError("there is no pod of it")
        if old:
            raise ClusterError(f"shown is still {old}, not {wanted}")
        return True

    wait_until(
        all_new,
        within,
        every=2.0,
        ignoring=_NOT_YET,
        what=f"{component.name} shows its new certificate",
    )


def take_up_trust(site: Site, component: Component, within: float | Deadline) -> None:
    """Have all pods trust what is in `ca_file` now.

    Raises TimedOut when the files in one are not the new ones in time.
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
        what=f"{component.name} finds the CAs that are to be trusted",
    )
    component.retrust(site)


def gone(site: Site, component: Component, within: float | Deadline) -> None:
    """Wait for its pods that are on their way out: they trust what they did."""

    def none_left() -> bool:
        pods = containers.pods(site, component.name, dying=True)
        return all(pod.metadata.deletion_timestamp is None for pod in pods)

    wait_until(none_left, within, every=1.0, what=f"the old pods of {component.name} are gone")


def digest(pem: str) -> str:
    """What stands for these certificates in an annotation."""
    return hashlib.sha256(pem.encode()).hexdigest()[:16]


def hurry(site: Site, component: Component, name: str, value: str) -> None:
    """Have new files mounted now: a change of a pod makes the kubelet look at once."""
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
