"""The front door cannot be bypassed."""

import allure
import pytest

from infraforge.checkers import cells_match
from infraforge.components.namespaces import ALL
from infraforge.probes import reach
from infraforge.probes.reach import Source, Target
from infraforge.table import Table
from infraforge.verdict import control

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.22", "NIST-SC-7"),
]

BEHIND = (
    Target("backend.infraforge-application.svc", 8443),
    Target("frontend.infraforge-application.svc", 8443),
    Target("oauth2-proxy.infraforge-access.svc", 4180),
    Target("oauth2-proxy.infraforge-access.svc", 4181),
    Target("login.infraforge-access.svc", 8443),
)
INGRESS = {"app.kubernetes.io/name": "ingress"}
ALLOWED = Source("as the ingress", "infraforge-access", INGRESS)
STRANGERS = (
    Source("beside the ingress", "infraforge-access"),
    Source("beside the backend", "infraforge-application"),
    Source("as the frontend", "infraforge-application", {"app.kubernetes.io/name": "frontend"}),
    Source("in the data layer", "infraforge-data"),
    Source("outside the platform", "default"),
    Source("outside, labelled as the ingress", "default", INGRESS),
)


def test_services_behind_the_front_door_answer_only_the_ingress(platform, evidence):
    """Only the ingress can connect to the backend, frontend, login page and OAuth2 Proxy."""
    connections = reach.reach(platform.site, (ALLOWED, *STRANGERS), BEHIND)
    declared = Table(
        {
            (source.name, str(target)): reach.OPEN if source is ALLOWED else reach.BLOCKED
            for source in (ALLOWED, *STRANGERS)
            for target in BEHIND
        }
    )
    verdict = cells_match(connections.table, declared)
    evidence.attach(connections.table, verdict, notes="\n".join(connections.notes) or "none")
    assert verdict.holds, verdict.explain()


def test_the_ingress_is_the_only_service_published(platform, evidence):
    """No other Service is published, and no pod uses a port of its node."""
    core = platform.site.core
    services = {
        f"{namespace}/{item.metadata.name}": item.spec.type
        for namespace in ALL
        for item in core.list_namespaced_service(namespace).items
        if item.spec.type != "ClusterIP" or item.spec.external_ips
    }
    every = [
        (f"{namespace}/{item.metadata.name}", item)
        for namespace in ALL
        for item in core.list_namespaced_pod(namespace).items
    ]
    control(every, "the API server lists no pods of the platform")
    pods = [
        name
        for name, item in every
        if item.spec.host_network
        or any(port.host_port for box in item.spec.containers for port in box.ports or ())
    ]
    evidence.attach({"services": services, "pods": pods})
    assert set(services) == {"infraforge-access/ingress"}
    assert not pods
