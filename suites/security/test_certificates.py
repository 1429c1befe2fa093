"""Certificates: all of the platform's own CA, in force, and not about to run out."""

from __future__ import annotations

import pytest

from infraforge import components
from infraforge.checkers import cells_match
from infraforge.probes import certificates
from infraforge.table import Table

pytestmark = pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")


def test_no_stored_certificate_runs_out_within_a_week(platform, evidence):
    """The CA and every certificate kept in a Secret are in force for more than a week."""
    having = [components.load(name) for name in platform.profile.components]
    wanted = [f"Secret {c.namespace}/{c.name}-tls" for c in having if c.listens]
    found = dict.fromkeys(wanted) | certificates.stored(platform.site)
    judge({(place, "is"): what for place, what in found.items()}, evidence)


def test_every_server_shows_a_certificate_that_is_good_for_a_week(platform, evidence):
    """What each pod shows on each port is in force for more than a week."""
    shown = certificates.shown(platform.site)
    judge({(place, "shows"): what for place, what in shown.items()}, evidence)


def test_every_pod_trusts_the_platforms_ca_alone(platform, evidence):
    """No other CA's word counts for any pod, and no former one's either."""
    trusted, wanted = certificates.trusted(platform.site)
    verdict = cells_match(trusted, wanted)
    evidence.attach(trusted, verdict)
    assert verdict.holds, verdict.explain()


def judge(cells, evidence):
    observed = Table(cells)
    verdict = cells_match(observed, Table(dict.fromkeys(cells, certificates.LONG)))
    evidence.attach(observed, verdict)
    assert verdict.holds, verdict.explain()
