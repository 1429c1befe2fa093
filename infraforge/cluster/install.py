"""What a new KIND cluster gets first: network, storage, metrics, node certificates."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from cryptography import x509
from cryptography.x509.oid import NameOID
from kubernetes import client

from infraforge.cluster import manifests, tools
from infraforge.cluster.apply import Applier
from infraforge.cluster.base import Cluster, OwnNodes
from infraforge.cluster.pki import Authority
from infraforge.errors import ClusterError, TimedOut, UsageError
from infraforge.wait import wait_until

PARTS = ("cilium", "metrics-server", "local-path")
_SERVING = "kubernetes.io/kubelet-serving"
_SERVING_FILE = "/var/lib/kubelet/pki/kubelet-server-current.pem"
_USAGES = {"digital signature", "key encipherment", "server auth"}


def install(
    cluster: Cluster,
    tree: Path,
    authority: Authority,
    digests: Mapping[str, str],
    parts: Sequence[str] = PARTS,
) -> None:
    """Apply network, metrics and storage, without waiting for any of them.

    digests: canonical image reference → `sha256:…`. Raises UsageError for an image without one.
    """
    pair = authority.issue(["metrics-server.kube-system.svc", "metrics-server.kube-system"])
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "metrics-server-tls", "namespace": "kube-system"},
        "stringData": {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem},
    }
    bundle = base64.b64encode(authority.ca_file.read_bytes()).decode()
    applier = Applier(cluster.api)
    for part in parts:
        objects = manifests.render(tools.kubectl(tree), tree / "cluster" / part)
        for item in objects:
            if item["kind"] == "APIService":
                item["spec"]["caBundle"] = bundle
        applier.apply([secret] if part == "metrics-server" else [])
        pinned = manifests.pin_images(objects, digests)
        if by_tag := manifests.unpinned(pinned):
            raise UsageError(
                f"{part}: the digest of {by_tag[0]} is not known; run: infraforge images push"
            )
        applier.apply(pinned)


def wait_ready(cluster: OwnNodes, within: float) -> None:
    """Wait for the nodes, their serving certificates, Cilium, DNS, storage and metrics.

    Raises TimedOut naming what is not ready yet.
    """
    core = client.CoreV1Api(cluster.api)
    apps = client.AppsV1Api(cluster.api)

    def all_ready() -> bool:
        refused = approve_node_certificates(cluster)
        lacking = _lacking(core, apps) or _lacking_certificates(cluster, core, refused)
        if lacking:
            raise TimedOut(lacking)
        return True

    wait_until(
        all_ready,
        within=within,
        every=0.5,
        what="the cluster's own parts are ready",
        ignoring=(TimedOut,),
    )


def wait_seen(cluster: OwnNodes, within: float) -> None:
    """Wait until the status of every pod is newer than its node's start.

    After a restart the API server still reports what kubelets said before it: pods that ran and
    were ready then. Raises TimedOut naming a pod with such a stale status.
    """
    core = client.CoreV1Api(cluster.api)

    def seen() -> bool:
        if stale := _stale(core.list_pod_for_all_namespaces(), cluster.started()):
            raise TimedOut(stale)
        return True

    wait_until(
        seen,
        within,
        every=1.0,
        what="the kubelets report pods as they are since the nodes started",
        # the API server itself is among what restarts
        ignoring=(
            TimedOut,
            ClusterError,
            client.ApiException,
            urllib3.exceptions.HTTPError,
            OSError,
        ),
    )


def _stale(pods: Any, started: Mapping[str, datetime]) -> str:
    """A container whose reported start precedes its node's, or whose node does not run; else ""."""
    for pod in pods.items:
        node, name = pod.spec.node_name, f"{pod.metadata.namespace}/{pod.metadata.name}"
        for box in pod.status.container_statuses or ():
            if node is None or box.state.running is None:
                continue
            if node not in started:
                return f"{name}: its node {node} is not running"
            if box.state.running.started_at < started[node]:
                return f"{name}: no status since {node} started"
    return ""


def wait_network(cluster: Cluster, within: float) -> None:
    """Wait for the nodes and their DaemonSets (Cilium, kube-proxy), and nothing else.

    Raises TimedOut naming what is not ready yet.
    """
    core, apps = client.CoreV1Api(cluster.api), client.AppsV1Api(cluster.api)

    def ready() -> bool:
        lacking = _lacking_nodes(core, apps)
        if lacking:
            raise TimedOut(lacking)
        return True

    wait_until(
        ready, within=within, every=0.5, what="the cluster's network is ready", ignoring=(TimedOut,)
    )


def approve_node_certificates(cluster: Cluster) -> Mapping[str, str]:
    """Approve the serving certificates that our nodes request: their own names, nothing else.

    Returns node → why a request of it is not approved (yet): a node whose address changed
    requests a certificate for the new one before the API server knows of it.
    """
    refused: dict[str, str] = {}
    certificates = client.CertificatesV1Api(cluster.api)
    nodes = {node.metadata.name: node for node in client.CoreV1Api(cluster.api).list_node().items}
    for request in certificates.list_certificate_signing_request().items:
        if request.spec.signer_name != _SERVING or request.status.conditions:
            continue
        name = request.spec.username.removeprefix("system:node:")
        node = nodes.get(name)
        addresses = [item.address for item in node.status.addresses] if node else []
        refusal = why_not(
            base64.b64decode(request.spec.request),
            request.spec.username,
            request.spec.usages,
            name,
            addresses,
        )
        if refusal:
            refused[name] = f"its request {request.metadata.name} is not approved: {refusal}"
            continue
        condition = client.V1CertificateSigningRequestCondition(
            type="Approved",
            status="True",
            reason="InfraForge",
            message="requested by the node itself, for its own names and addresses",
        )
        request.status.conditions = [condition]
        certificates.replace_certificate_signing_request_approval(request.metadata.name, request)
    return refused


def _lacking_certificates(
    cluster: OwnNodes, core: client.CoreV1Api, refused: Mapping[str, str]
) -> str:
    """A node whose kubelet has no serving certificate for its present addresses; else ""."""
    for node in core.list_node().items:
        name = node.metadata.name
        wanted = {name, *(_plain(item.address) for item in node.status.addresses)}
        try:
            pem = cluster.on_node(name, "openssl", "x509", "-in", _SERVING_FILE)
        except ClusterError:
            why = "its kubelet has no serving certificate yet"
        else:
            lacking = sorted(wanted - _names(pem.encode()))
            if not lacking:
                continue
            why = f"its kubelet's serving certificate does not name {', '.join(lacking)}"
        return "; ".join(filter(None, (f"node {name}: {why}", refused.get(name, ""))))
    return ""


def _names(certificate_pem: bytes) -> set[str]:
    """The names and addresses a certificate is valid for; none once it has expired."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    if certificate.not_valid_after_utc < datetime.now(UTC):
        return set()
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = sans.get_values_for_type(x509.DNSName)
    return {*names, *(str(ip) for ip in sans.get_values_for_type(x509.IPAddress))}


def why_not(
    request_pem: bytes,
    username: str,
    usages: Sequence[str],
    node: str,
    addresses: Sequence[str],
) -> str:
    """Why a kubelet's request for a serving certificate must not be approved; "" when it may.

    The rules are those of the kubelet-serving signer (Kubernetes: Certificates and Certificate
    Signing Requests), narrowed to the node's own names and addresses.
    """
    request = x509.load_pem_x509_csr(request_pem)
    subject = request.subject
    common = [part.value for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [part.value for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if not addresses:
        return f"{node} is not a node of this cluster"
    if username != f"system:node:{node}" or common != [username] or groups != ["system:nodes"]:
        return f"{username} asks for {common} in {groups}"
    if not set(usages) <= _USAGES:
        return f"usages {sorted(usages)}"
    try:
        sans = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "no names asked for"
    asked = {*sans.get_values_for_type(x509.DNSName)}
    asked |= {str(ip) for ip in sans.get_values_for_type(x509.IPAddress)}
    allowed = {node, *(_plain(address) for address in addresses)}
    return "" if asked and asked <= allowed else f"names {sorted(asked - allowed)} are not its own"


def _plain(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _lacking(core: client.CoreV1Api, apps: client.AppsV1Api) -> str:
    if nodes := _lacking_nodes(core, apps):
        return nodes
    for namespace in ("kube-system", "local-path-storage"):
        for item in apps.list_namespaced_deployment(namespace).items:
            if (item.status.ready_replicas or 0) < item.spec.replicas:
                return f"Deployment {item.metadata.name}: {item.status.ready_replicas or 0} ready"
    return ""


def _lacking_nodes(core: client.CoreV1Api, apps: client.AppsV1Api) -> str:
    for node in core.list_node().items:
        ready = [c for c in node.status.conditions if c.type == "Ready"]
        if not ready or ready[0].status != "True":
            return f"node {node.metadata.name}: {ready[0].message if ready else 'no status'}"
    for item in apps.list_namespaced_daemon_set("kube-system").items:
        if item.status.number_ready < max(1, item.status.desired_number_scheduled):
            return f"DaemonSet {item.metadata.name}: {item.status.number_ready} ready"
    return ""
