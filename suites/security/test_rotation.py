"""Certificates are replaced while people work, and nobody notices. Their CA: chaos/test_ca.py."""

from __future__ import annotations

import pytest

from infraforge import stack
from infraforge.checkers import cells_match, no_request_failed
from infraforge.probes import certificates
from infraforge.table import Table
from infraforge.verdict import check
from infraforge.workloads.people import People
from infraforge.workloads.traffic import Traffic

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-CC6.7", "SOC2-A1.2", "ISO27001-A.8.24", "NIST-SC-8"),
]


@pytest.fixture
def people(platform, front_door, developer, project):
    """Who goes on reading, writing, keeping files, signing in and out."""
    devon = People(platform.site).known("devon")
    return Traffic(front_door, devon, developer, project)


def test_no_request_fails_while_every_certificate_is_renewed(platform, people, evidence):
    """Every pod shows a new certificate on every port, and no request failed meanwhile."""
    old = certificates.serials_stored(platform.site)
    with people:
        people.until(times=5)
        renewed = stack.renew(platform.cluster.name)
        people.until(times=5)
    assert set(renewed) == set(old)
    judge(platform, old, people, evidence)


def judge(platform, old, people, evidence):
    new = certificates.serials_stored(platform.site)
    assert set(new) == set(old)
    assert not set(old.values()) & set(new.values()), "a certificate is still the old one"
    shown, wanted = certificates.serials_shown(platform.site, new)
    verdict = check(people.history, no_request_failed)
    table = cells_match(Table(shown), Table(wanted))
    evidence.attach(people.history, verdict, table, shown=Table(shown))
    assert verdict.holds, verdict.explain()
    assert table.holds, table.explain()
