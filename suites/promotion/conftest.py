"""The suite of promotions runs where sentinels watch several servers."""

from __future__ import annotations

import pytest

from infraforge.components import redis_members
from infraforge.stack import Platform

COMPONENTS = ("redis-sentinel",)
"""What a profile must have to require these tests; see infraforge/required.py."""


@pytest.fixture(autouse=True)
def _sentinels(platform: Platform) -> None:
    if not redis_members.sentinels(platform.profile):
        pytest.skip(f"needs sentinels; profile {platform.profile.name} has none")
