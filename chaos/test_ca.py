"""The CA is replaced while users work, and no request fails.

Every pod reloads its trusted CAs twice, and some pods are replaced for it, which takes minutes.
"""

from __future__ import annotations

import contextlib

import pytest

from infraforge import faults, stack
from infraforge.checkers import cells_match, no_request_failed
from infraforge.components import renewal
from infraforge.components.frontend import Frontend
from infraforge.probes import certificates
from infraforge.verdict import check, control
from infraforge.wait import minutes, wait_until

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.control("SOC2-CC6.7", "SOC2-A1.2", "ISO27001-A.8.24", "NIST-SC-8"),
]
_IDLE = 12.0
"""Seconds until the ingress closes idle connections to the frontend and must handshake again."""


def test_no_request_fails_while_the_ca_is_replaced(
    platform, front_door, developer, traffic, nemesis, evidence
):
    """All pods present the new CA's certificates and trust only it, and no request failed."""
    name = platform.cluster.name
    phase = stack.ca_phase(name)
    control(
        not phase,
        f"an earlier CA replacement stopped in phase {phase}; to finish it run: "
        f"infraforge certificates renew --ca --name {name}",
    )
    old = certificates.serials_stored(platform.site)
    former = platform.site.authority
    with traffic:
        traffic.until(times=5)
        stack.replace_ca(name)
        traffic.until(times=5)
    platform.site.authority = stack.authority(name)  # later tests use it, too
    fared = check(traffic.history, no_request_failed)
    evidence.attach(traffic.history, fared)
    assert fared.holds, fared.explain()
    shown, wanted = certificates.renewed(platform.site, old)
    renewed = cells_match(shown, wanted)
    evidence.attach(renewed, shown=shown)
    assert renewed.holds, renewed.explain()
    new = platform.site.authority.certificate
    assert new.public_key() != former.certificate.public_key()
    trusted, to_trust = certificates.trusted(platform.site)
    alone = cells_match(trusted, to_trust)
    evidence.attach(alone, trusted=trusted)
    assert alone.holds, alone.explain()
    someone = front_door.anonymous()
    someone.cookies.update(developer.session.cookies)
    control(someone.get("/").status_code == 200, "the dashboard did not load before the impostor")
    with impostor(platform, former, nemesis):
        wait_until(
            lambda: someone.get("/").status_code == 502,
            within=minutes(3),
            every=_IDLE,
            what="the ingress refuses a frontend with a certificate of the former CA",
            broken=True,
        )
    # otherwise the 502 may have had another cause
    control(someone.get("/").status_code == 200, "the dashboard did not load after the impostor")


@contextlib.contextmanager
def impostor(platform, former, nemesis):
    """A frontend with a certificate of another CA for the right names."""
    frontend, site = Frontend(), platform.site
    secret = dict(site.read_secret("frontend-tls", frontend.namespace))
    pair = former.issue([f"frontend.{frontend.namespace}.svc.cluster.local", "localhost"])
    nemesis.owe(faults.RenewCertificate("frontend"), "a frontend of the former CA")
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
        nemesis.heal()
