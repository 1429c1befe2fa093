"""Where the members of PostgreSQL are: what takes one away takes no other."""

from __future__ import annotations

import pytest

from infraforge.probes import placement

pytestmark = [pytest.mark.control("SOC2-A1.2", "ISO27001-A.8.14")]


def test_members_share_neither_a_node_nor_a_zone(platform, evidence):
    """Each member has a node to itself, and a zone where there are zones; the scheduler must."""
    found = placement.of(platform.site, "postgres")
    zones = platform.profile.cluster.zones
    evidence.attach(found)
    assert len({place.node for place in found.places}) == len(found.places)
    assert "kubernetes.io/hostname" in found.apart_by
    if zones:
        assert {place.zone for place in found.places} == set(zones)
        assert "topology.kubernetes.io/zone" in found.spread_over
