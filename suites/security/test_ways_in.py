"""Privileged access that bypasses the front door leaves a trace in the audit log."""

from __future__ import annotations

import pytest

from infraforge.probes import control_plane
from infraforge.wait import seconds, wait_until
from infraforge.workloads.ways_in import WAYS


@pytest.mark.control("SOC2-CC7.2", "ISO27001-A.8.15", "NIST-AU-2")
@pytest.mark.parametrize("name", WAYS)
def test_every_way_past_the_front_door_is_in_the_audit_log(platform, name):
    """The audit log names actor and target of every shell, tunnel, proxy and read of secrets."""
    way = WAYS[name]
    assert not control_plane.audited_with(platform.site, "no-such-mark")  # the log is readable
    mark = way.take(platform.site)
    entries = wait_until(
        lambda: control_plane.audited_with(platform.site, mark),
        within=seconds(20),
        every=1.0,
        what=f"the audit log has {name}",
        broken=True,
    )
    assert {resource(entry) for entry in entries} == {way.resource}
    assert all(entry["user"]["username"] for entry in entries)


def resource(entry):
    about = entry["objectRef"]
    return "/".join(filter(None, (about["resource"], about.get("subresource"))))
