"""Every certificate is valid, not about to expire, and issued by the platform's own CA."""

from __future__ import annotations

import pytest

from infraforge import components, judging
from infraforge.checkers import cells_match
from infraforge.probes import certificates

pytestmark = pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")


def test_no_stored_certificate_expires_within_a_week(platform, evidence):
    """The CA and every certificate stored in a Secret are valid for more than a week."""
    loaded = [components.load(name) for name in platform.profile.components]
    wanted = [f"Secret {c.namespace}/{c.name}-tls" for c in loaded if c.listens]
    stored = dict.fromkeys(wanted) | certificates.stored(platform.site)
    judge({(place, "is"): what for place, what in stored.items()}, evidence)


def test_every_server_certificate_is_valid_for_a_week(platform, evidence):
    """The certificate that each pod presents on each port is valid for more than a week."""
    shown = certificates.shown(platform.site)
    judge({(place, "shows"): what for place, what in shown.items()}, evidence)


def test_every_pod_trusts_only_the_platforms_ca(platform, evidence):
    """No pod trusts any other CA, not even a former one of the platform."""
    trusted, wanted = certificates.trusted(platform.site)
    verdict = cells_match(trusted, wanted)
    evidence.attach(trusted, verdict)
    assert verdict.holds, verdict.explain()


def judge(cells, evidence):
    judging.judge(cells, dict.fromkeys(cells, certificates.LONG), evidence)
