"""An impostor takes a component's place, with the right names but another CA's certificate."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.components.postgres import NAMESPACE
from infraforge.faults import impostor
from infraforge.probes import heard
from infraforge.verdict import control
from infraforge.wait import seconds, wait_until
from infraforge.workloads import register
from infraforge.workloads.backend_client import Unknown

ENOUGH = 5  # connections: every process of the backend tries PostgreSQL twice a second
LOOK = seconds(30)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")
def test_a_postgresql_impostor_learns_nothing(platform, developer, project, nemesis, evidence):
    """The backend breaks off the TLS handshake with a PostgreSQL certified by a foreign CA."""
    nemesis.inject(faults.Impostor(known=True))
    believed = hear(platform)
    nemesis.heal()
    nemesis.inject(faults.Impostor(known=False))
    doubted = hear(platform)
    with pytest.raises(Unknown) as refused:
        register.twin(developer).update_project(project.id, name="told to nobody")
    nemesis.heal()
    evidence.attach(certified=str(believed), foreign=str(doubted))
    control(believed.told, "even an impostor certified by our own CA received nothing")
    assert doubted.told == frozenset()
    assert refused.value.status == 503
    wait_until(
        lambda: developer.update_project(project.id, name="told to PostgreSQL"),
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the project can be changed again",
        broken=True,
    )


def hear(platform):
    """What the impostor has received once it has had enough connections."""

    def enough():
        received = heard.by(platform.site, NAMESPACE, impostor.NAME)
        return received if received.callers >= ENOUGH else None

    return wait_until(enough, LOOK, every=0.5, what=f"the impostor got {ENOUGH} connections")
