"""A pod that exceeds its share of the node's disk is evicted, and no other pod is affected."""

import pytest

from infraforge import faults
from infraforge.components import containers
from infraforge.errors import ClusterError
from infraforge.faults.fill import put_out
from infraforge.wait import minutes, wait_until

# The kubelet measures folders once a minute and checks the limits every ten seconds.
SEEN_WITHIN = minutes(2.5)
TOO_MUCH = 300  # MiB: more than any pod's limit for ephemeral storage


@pytest.mark.exclusive
@pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14")
def test_only_the_pod_that_fills_its_folder_is_evicted(
    platform, front_door, devon, developer, nemesis, evidence
):
    """The pod that fills its folder is evicted and replaced in time; all others keep running."""
    site = platform.site
    others = [name for name in platform.profile.components if name != "login"]
    before = {name: uids(site, name) for name in others}
    fault = faults.Fill("login", TOO_MUCH)
    target = fault.aim(site).undo
    statuses = []
    nemesis.inject(fault)

    def out():
        statuses.append(developer.session.request("GET", "/api/projects").status_code)
        return put_out(site, target)

    wait_until(
        out,
        SEEN_WITHIN,
        every=1.0,
        ignoring=(ClusterError,),
        what="the kubelet evicts the pod",
        broken=True,
    )
    nemesis.heal()
    wait_until(
        lambda: front_door.sign_in(devon.name, devon.password),
        platform.profile.budgets.component,
        ignoring=(Exception,),
        what="people can sign in again",
        broken=True,
    )
    evidence.attach(nemesis.history, statuses=str(sorted(set(statuses))))
    assert set(statuses) == {200}
    assert {name: uids(site, name) for name in others} == before


def uids(site, name):
    return sorted(str(pod.metadata.uid) for pod in containers.pods(site, name))
