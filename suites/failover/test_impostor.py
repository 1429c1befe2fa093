"""Somebody else stands in the place of a part, with all the right names and another CA's word."""

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

ENOUGH = 5  # callers: every process of the backend looks for PostgreSQL twice a second
LOOK = seconds(30)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-CC6.7", "ISO27001-A.8.24", "NIST-SC-8")
def test_an_impostor_of_postgresql_is_told_nothing(platform, developer, project, nemesis, evidence):
    """One with a foreign CA's word is hung up on in the handshake; with our CA's it is heard."""
    nemesis.inject(faults.Impostor(known=True))
    believed = hear(platform)
    nemesis.heal()
    nemesis.inject(faults.Impostor(known=False))
    doubted = hear(platform)
    with pytest.raises(Unknown) as refused:
        register.twin(developer).update_project(project.id, name="told to nobody")
    nemesis.heal()
    evidence.attach(certified=str(believed), foreign=str(doubted))
    control(believed.told, "the impostor hears nobody: that it hears nothing proves nothing")
    assert doubted.told == frozenset()
    assert refused.value.status == 503
    wait_until(
        lambda: developer.update_project(project.id, name="told to PostgreSQL"),
        within=platform.profile.budgets.rejoin,
        ignoring=(Unknown,),
        what="the project is changed",
        broken=True,
    )


def hear(platform):
    """What the impostor has heard once enough callers came by."""

    def enough():
        found = heard.by(platform.site, NAMESPACE, impostor.NAME)
        return found if found.callers >= ENOUGH else None

    return wait_until(enough, LOOK, every=0.5, what=f"{ENOUGH} callers come by")
