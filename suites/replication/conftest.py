"""The suite of several members runs where there are several."""

from __future__ import annotations

import pytest

from infraforge.components import members
from infraforge.stack import Platform

COMPONENTS = ("postgres/replicated",)
"""What a profile must have to require these tests; see infraforge/required.py."""


@pytest.fixture(autouse=True)
def _several_members(platform: Platform) -> None:
    if len(members.of(platform.profile)) < 2:
        pytest.skip(f"needs several members; profile {platform.profile.name} has one")
