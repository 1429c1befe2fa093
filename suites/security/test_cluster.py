"""The cluster keeps secrets encrypted, writes an audit log, and grants least privilege."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator

import pytest
from kubernetes import client

from infraforge.components.namespaces import ALL
from infraforge.components.site import SYSTEM
from infraforge.probes import control_plane
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until

MAY_TALK_TO_API_SERVER = {"platform-api", "postgres", "vault"}
"""Patroni elects its leader there, Vault reviews tokens, and the platform API lists workloads."""


@pytest.fixture
def marked(platform) -> Iterator[tuple[str, str, str]]:
    """A Secret and a ConfigMap of the same name, each with a random value."""
    name, hidden, shown = (f"probe-{secrets.token_hex(16)}" for _ in range(3))
    core, meta = platform.site.core, client.V1ObjectMeta(name=name)
    core.create_namespaced_secret(
        SYSTEM, client.V1Secret(metadata=meta, string_data={"value": hidden})
    )
    core.create_namespaced_config_map(
        SYSTEM, client.V1ConfigMap(metadata=meta, data={"value": shown})
    )
    yield name, hidden, shown
    core.delete_namespaced_secret(name, SYSTEM)
    core.delete_namespaced_config_map(name, SYSTEM)


@pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.24", "NIST-SC-28")
def test_secrets_are_encrypted_in_etcd(platform, marked):
    """etcd's files hold a ConfigMap's value in plain text, but not a Secret's."""
    _, hidden, shown = marked
    wait_until(  # the control
        lambda: control_plane.files_with(platform.site, shown),
        within=seconds(30),
        what="the ConfigMap's value is in etcd's files",
    )
    assert control_plane.files_with(platform.site, hidden) == ()


@pytest.mark.control("SOC2-CC7.2", "ISO27001-A.8.15", "NIST-AU-2")
def test_the_audit_log_names_who_made_a_secret_but_not_its_content(platform, marked):
    """The audit log records actor, verb and object of a change, but never its content."""
    name, hidden, _ = marked
    entries = wait_until(
        lambda: control_plane.audited(platform.site, "secrets", name),
        within=seconds(20),
        every=1.0,
        what="the audit log has the creation of the Secret",
        broken=True,
    )
    assert {"create"} <= {entry["verb"] for entry in entries}
    assert all(entry["user"]["username"] for entry in entries)
    control(name in str(entries), "the entries of the audit log do not name the Secret")
    assert hidden not in str(entries)
    assert base64.b64encode(hidden.encode()).decode() not in str(entries)


@pytest.mark.control("SOC2-CC6.6", "NIST-SC-7")
def test_ports_of_the_nodes_are_published_on_loopback_only(platform):
    """Every port that leads to the nodes is published on 127.0.0.1 only."""
    ports = control_plane.published(platform.site)
    control(len(ports) >= 3, f"expected two front-door ports and the API server: {ports}")
    assert set(ports.values()) == {"127.0.0.1"}, ports


@pytest.mark.control("SOC2-CC6.3", "NIST-AC-6", "CIS-K8S-5.2")
@pytest.mark.parametrize("namespace", ALL)
def test_pods_beyond_the_restricted_standard_are_refused(platform, namespace):
    """The API server admits a pod like ours and refuses the same pod with one more privilege."""
    core = platform.site.core
    core.create_namespaced_pod(namespace, pod(), dry_run="All")
    for more in ({"privileged": True}, {"run_as_user": 0}, {"allow_privilege_escalation": True}):
        with pytest.raises(client.ApiException) as refused:
            core.create_namespaced_pod(namespace, pod(**more), dry_run="All")
        assert refused.value.status == 403, refused.value
        assert "PodSecurity" in refused.value.body, refused.value.body


@pytest.mark.control("SOC2-CC6.3", "NIST-AC-6")
def test_only_pods_that_need_one_hold_an_api_server_token(platform):
    """Only the declared components' pods mount a token for the API server."""
    core = platform.site.core
    holders = {
        item.metadata.labels["app.kubernetes.io/name"]
        for namespace in ALL
        for item in core.list_namespaced_pod(namespace).items
        if any(_for_api_server(volume) for volume in item.spec.volumes or ())
    }
    assert holders == MAY_TALK_TO_API_SERVER


def _for_api_server(volume: client.V1Volume) -> bool:
    sources = volume.projected.sources if volume.projected else ()
    return any(
        source.service_account_token and not source.service_account_token.audience
        for source in sources
    )


def pod(**more: object) -> client.V1Pod:
    """A pod that meets the `restricted` standard, except for the given settings."""
    wanted = {
        "allow_privilege_escalation": False,
        "run_as_non_root": True,
        "capabilities": client.V1Capabilities(drop=["ALL"]),
        "seccomp_profile": client.V1SeccompProfile(type="RuntimeDefault"),
    }
    if more.get("privileged"):
        wanted["allow_privilege_escalation"] = True
    box = client.V1Container(
        name="probe",
        image="ghcr.io/tca-infraforge/pause:1.0.0",
        security_context=client.V1SecurityContext(**(wanted | more)),
    )
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="probe", labels={"infraforge.io/probe": "admission"}),
        spec=client.V1PodSpec(containers=[box], automount_service_account_token=False),
    )
