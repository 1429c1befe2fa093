"""The Service is for people: whoever writes asks the members themselves who takes writes."""

from __future__ import annotations

import pytest

from infraforge import faults
from infraforge.wait import seconds, wait_until
from infraforge.workloads import register
from infraforge.workloads.backend_client import Unknown

FOLLOWED = seconds(10)


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_changes_go_on_while_the_service_leads_to_a_standby(
    platform, developer, project, nemesis, evidence
):
    """With all its sessions ended, the backend finds the primary though the Service does not."""
    proof = nemesis.inject(faults.Mislead())
    changed = wait_until(
        lambda: register.twin(developer).update_project(project.id, name="told to the primary"),
        FOLLOWED,
        what="the project can be changed",
        every=0.5,
        ignoring=(Unknown,),
        broken=True,
    )
    nemesis.heal()
    evidence.attach(proof=proof, version=str(changed.version))
