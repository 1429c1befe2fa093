"""The queue suite runs only on platforms with a queue."""

from __future__ import annotations

import pytest

from infraforge.stack import Platform

COMPONENTS = ("nats",)
"""What a profile must have to require these tests; see infraforge/required.py."""


@pytest.fixture(autouse=True)
def _queue(platform: Platform) -> None:
    if "nats" not in platform.profile.components:
        pytest.skip(f"needs a queue; profile {platform.profile.name} has none")
