"""The suite of several members runs where there are several."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infraforge import session
from infraforge.components import members
from infraforge.stack import Platform
from infraforge.trial import Trial

COMPONENTS = ("postgres/replicated",)
"""What a profile must have to require these tests; see infraforge/required.py."""


@pytest.fixture(autouse=True)
def _several_members(platform: Platform) -> None:
    if len(members.of(platform.profile)) < 2:
        pytest.skip(f"needs several members; profile {platform.profile.name} has one")


@pytest.fixture
def trial(platform: Platform, request: pytest.FixtureRequest) -> Callable[..., Trial]:
    """Makes a trial; its parameters are the load's."""
    watch = request.config.stash[session.WATCH]
    return lambda **load: Trial(platform.site, watch, **load)
