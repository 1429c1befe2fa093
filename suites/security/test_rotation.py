"""Certificates are renewed without a failed request. For the CA itself see chaos/test_ca.py."""

from __future__ import annotations

import pytest

from infraforge import faults, stack
from infraforge.checkers import cells_match, no_request_failed
from infraforge.components import containers
from infraforge.errors import Inconclusive
from infraforge.probes import certificates
from infraforge.verdict import check, control
from infraforge.wait import wait_until

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


def test_a_certificate_that_has_run_out_is_renewed_by_new_pods(
    platform, developer, project, nemesis, evidence
):
    """Nobody can tell a Redis anything whose certificate has run out; renewal puts a new one there.

    Reads find the cache again after that. (Meanwhile who was connected to it before still is.)
    """

    def how():
        return developer.read_project(project.id)[1]

    def pods():
        return {pod.metadata.uid for pod in containers.pods(platform.site, "redis-cache")}

    old = pods()
    wait_until(lambda: how() == "hit", platform.profile.budgets.rejoin, what="the cache is read")
    proof = nemesis.inject(faults.CertificateExpired("redis-cache"))
    control(pods() == old, "its pods were replaced before anybody renewed its certificate")
    trouble = ""
    try:
        stack.renew(platform.cluster.name, ["redis-cache"])
    except Inconclusive as error:
        trouble = str(error)
    evidence.attach(nemesis.history, proof=proof, trouble=trouble)
    assert not trouble
    assert not pods() & old
    wait_until(
        lambda: how() == "hit",
        platform.profile.budgets.rejoin,
        what="the cache is read again",
        broken=True,
    )
    shown = certificates.shown(platform.site)
    ours = {place: what for place, what in shown.items() if "redis-cache" in place}
    assert set(ours.values()) == {certificates.LONG}, ours
