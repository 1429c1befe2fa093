"""Whoever goes past the front door leaves a trace."""

from __future__ import annotations

import pytest

from infraforge.probes import control_plane
from infraforge.wait import seconds, wait_until
from infraforge.workloads.ways_in import WAYS


@pytest.mark.control("SOC2-CC7.2", "ISO27001-A.8.15", "NIST-AU-2")
@pytest.mark.parametrize("name", WAYS)
def test_whoever_takes_a_way_in_is_in_the_audit_log(platform, name):
    """For a shell, a tunnel, a proxy or a read of secrets the log names who and what."""
    way = WAYS[name]
    assert not control_plane.audited_with(platform.site, "no-such-mark")  # the log can be read
    mark = way.take(platform.site)
    entries = wait_until(
        lambda: control_plane.audited_with(platform.site, mark),
        within=seconds(20),
        every=1.0,
        what=f"{name} is in the audit log",
        broken=True,
    )
    assert {resource(entry) for entry in entries} == {way.resource}
    assert all(entry["user"]["username"] for entry in entries)


def resource(entry):
    about = entry["objectRef"]
    return "/".join(filter(None, (about["resource"], about.get("subresource"))))
