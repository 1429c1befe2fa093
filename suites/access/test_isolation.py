"""Network isolation is the default: a pod that no policy selects is cut off."""

import allure
import pytest

from infraforge.checkers import cells_match
from infraforge.components.namespaces import ALL
from infraforge.probes import listening, reach
from infraforge.probes.reach import Source, Target
from infraforge.table import Table

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.6", "ISO27001-A.8.22", "NIST-SC-7"),
]

OUTSIDE = "default"
DNS = Target("kube-dns.kube-system.svc", 53)


def test_a_pod_without_a_policy_can_neither_connect_nor_be_reached(platform, evidence):
    """In each of the platform's namespaces a new pod reaches the cluster's DNS and nothing else."""
    sources = [Source(f"from {namespace}", namespace) for namespace in (OUTSIDE, *ALL)]
    with listening.nobodies(platform.site, (OUTSIDE, *ALL)) as listeners:
        connections = reach.reach(platform.site, sources, [*listeners.values(), DNS])
        declared = Table(
            {
                (source.name, str(target)): may_reach(source.namespace, namespace)
                for source in sources
                for namespace, target in {**listeners, "kube-system": DNS}.items()
            }
        )
    # outside the platform nothing is denied, so this shows that listeners and probes work
    control = (f"from {OUTSIDE}", str(listeners[OUTSIDE]))
    verdict = cells_match(connections.table, declared, controls=[control])
    notes = [f"{namespace}: {target}" for namespace, target in listeners.items()]
    evidence.attach(connections.table, verdict, notes="\n".join([*notes, *connections.notes]))
    assert verdict.holds, verdict.explain()


def may_reach(source, target):
    """Every pod reaches DNS, and pods outside the platform each other; all else is blocked."""
    return reach.OPEN if target == "kube-system" or source == target == OUTSIDE else reach.BLOCKED
