"""The CA is replaced while people work, and nobody notices.

Every pod takes up what to trust twice, and some are replaced for it: that takes minutes.
"""

from __future__ import annotations

import contextlib

import pytest

from infraforge import stack
from infraforge.checkers import cells_match, no_request_failed
from infraforge.components import renewal
from infraforge.components.frontend import Frontend
from infraforge.probes import certificates
from infraforge.table import Table
from infraforge.verdict import check
from infraforge.wait import minutes, wait_until
from infraforge.workloads.people import People
from infraforge.workloads.traffic import Traffic

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-CC6.7", "SOC2-A1.2", "ISO27001-A.8.24", "NIST-SC-8"),
]
_IDLE = 12.0
"""Seconds after which the ingress has closed its connections to the frontend, and shakes anew."""


@pytest.fixture
def people(platform, front_door, developer, project):
    """Who goes on reading, writing, keeping files, signing in and out."""
    devon = People(platform.site).known("devon")
    return Traffic(front_door, devon, developer, project)


def test_no_request_fails_while_the_ca_is_replaced(
    platform, front_door, developer, people, evidence
):
    """All show certificates of the new CA and trust it alone, and no request failed meanwhile."""
    name = platform.cluster.name
    old = certificates.serials_stored(platform.site)
    former = stack.attach(name).site.authority
    with people:
        people.until(times=5)
        stack.replace_ca(name)
        people.until(times=5)
    judge(platform, old, people, evidence)
    new = stack.attach(name).site.authority.certificate
    assert new.public_key() != former.certificate.public_key()
    found = {(pod, "trusts"): cas for pod, cas in certificates.trusted(platform.site).items()}
    wanted = dict.fromkeys(found, f"{new.serial_number:x}")
    verdict = cells_match(Table(found), Table(wanted))
    evidence.attach(verdict, trusted=Table(found))
    assert found
    assert verdict.holds, verdict.explain()
    someone = front_door.anonymous()
    someone.cookies.update(developer.session.cookies)
    assert someone.get("/").status_code == 200
    with impostor(platform, former):
        wait_until(
            lambda: someone.get("/").status_code == 502,
            within=minutes(3),
            every=_IDLE,
            what="the ingress refuses a frontend with a certificate of the former CA",
            broken=True,
        )
    assert someone.get("/").status_code == 200


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


@contextlib.contextmanager
def impostor(platform, former):
    """A frontend that shows a certificate of another CA, for the names that it should have."""
    frontend, site = Frontend(), platform.site
    secret = dict(site.read_secret("frontend-tls", frontend.namespace))
    pair = former.issue([f"frontend.{frontend.namespace}.svc.cluster.local", "localhost"])
    site.write_secret(
        "frontend-tls",
        frontend.namespace,
        {**secret, "tls.crt": pair.cert_pem, "tls.key": pair.key_pem},
        kind="kubernetes.io/tls",
    )
    try:
        renewal.hurry(site, frontend, renewal.ANNOTATION, "impostor")
        yield
    finally:
        stack.renew(platform.cluster.name, ["frontend"])
