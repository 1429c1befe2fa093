"""Certificates are renewed without a failed request. For the CA itself see chaos/test_ca.py."""

from __future__ import annotations

import pytest

from infraforge import stack
from infraforge.checkers import cells_match, no_request_failed
from infraforge.probes import certificates
from infraforge.verdict import check

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-CC6.7", "SOC2-A1.2", "ISO27001-A.8.24", "NIST-SC-8"),
]


def test_no_request_fails_while_every_certificate_is_renewed(platform, traffic, evidence):
    """After a renewal every port presents a new certificate, and no request failed meanwhile."""
    old = certificates.serials_stored(platform.site)
    with traffic:
        traffic.until(times=5)
        stack.renew(platform.cluster.name)
        traffic.until(times=5)
    fared = check(traffic.history, no_request_failed)
    evidence.attach(traffic.history, fared)
    assert fared.holds, fared.explain()
    shown, wanted = certificates.renewed(platform.site, old)
    renewed = cells_match(shown, wanted)
    evidence.attach(renewed, shown=shown)
    assert renewed.holds, renewed.explain()
