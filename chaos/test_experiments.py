"""Each component's pod is killed in turn: it recovers by itself, and errors meanwhile are honest.

The kills take minutes, so they are not part of a profile's suites. `tox -e chaos` runs them.
"""

from __future__ import annotations

import time

import pytest

from infraforge import faults, profile, session
from infraforge.profile import Profile
from infraforge.stack import TREE
from infraforge.wait import Deadline, NotYet, wait_until
from infraforge.workloads import journey, steady

KNOWN = [Profile.load(name, TREE) for name in profile.names(TREE)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case per component with pods: of the profile under test, or of all if none is given."""
    if "component" in metafunc.fixturenames:
        under_test = session.profile_under_test(metafunc.config)
        profiles = [under_test] if under_test else [one for one in KNOWN if one.deployable]
        names = {
            name
            for one in profiles
            for name, settings in one.components.items()
            if "replicas" in settings  # components without replicas have no pods
        }
        metafunc.parametrize("component", sorted(names))


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14", "NIST-CP-10")
def test_killed_component_recovers_by_itself(
    platform, front_door, devon, visitor, developer, project, nemesis, evidence, component
):
    """After a kill sign-in and work recover within budget, and every error meanwhile is honest."""

    def back():
        row = next(row for row in platform.status() if row.name == component)
        if not row.fine:
            raise NotYet(f"{component} is not healthy")
        return journey.whole_way(front_door, devon)

    asked = {
        "who am I": "/api/me",
        "project": f"/api/projects/{project.id}",
        "files": f"/api/projects/{project.id}/files",
        "dashboard": "/",
        "components": "/api/platform/components",
    }
    with steady.Users(visitor, asked) as users:
        users.until(answers=3)
        deadline = Deadline(platform.profile.budgets.rejoin)  # starts with the kill, not its proof
        proof = nemesis.inject(faults.KillPod(component))
        wait_until(
            back,
            deadline,
            ignoring=journey.NOT_YET,
            what=f"{component} is healthy and a user can sign in and work after {proof}",
            broken=True,
        )
        took = time.monotonic() - deadline.began
        nemesis.heal()
        users.until(answers=3)
    fared = users.fared
    evidence.attach(
        users.history + nemesis.history,
        fared=fared,
        summary=f"{proof}\nback after {took:.1f} s\nuser-visible errors: {fared.failures}\n"
        f"{fared.errors}\nlongest without an answer: {fared.longest}",
    )
    print(f"{component}: back after {took:.1f} s, {fared.failures} errors {fared.errors}")
    assert fared.dishonest == {}
