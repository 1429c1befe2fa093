"""Certificates: all of the platform's own CA, in force, and not about to run out."""

from __future__ import annotations

import pytest

from infraforge.checkers import cells_match
from infraforge.probes import certificates
from infraforge.table import Table

pytestmark = pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")


def test_no_stored_certificate_runs_out_within_a_week(platform, evidence):
    """The CA and every certificate kept in a Secret are in force for more than a week."""
    found = certificates.stored(platform.site)
    assert len(found) > len(certificates.servers(platform.site)), (
        "the CA and one a Service at least"
    )
    judge({(place, "is"): what for place, what in found.items()}, evidence)


def test_every_server_shows_a_certificate_that_is_good_for_a_week(platform, evidence):
    """What each Service shows, a restart forgotten or not, is in force for more than a week."""
    names = certificates.servers(platform.site)
    shown = {name: certificates.shown_by(platform.site, name) for name in names}
    judge({(f"Service {name}", "shows"): what for name, what in shown.items()}, evidence)


def judge(cells, evidence):
    observed = Table(cells)
    verdict = cells_match(observed, Table(dict.fromkeys(cells, certificates.LONG)))
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()
