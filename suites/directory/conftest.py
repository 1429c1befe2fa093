"""The directory's suite runs where people are kept in one."""

from __future__ import annotations

import pytest

from infraforge.components.ldap import Ldap
from infraforge.stack import Platform

COMPONENTS = ("ldap",)
"""What a profile must have to require these tests; see infraforge/required.py."""


@pytest.fixture(autouse=True)
def directory(platform: Platform) -> Ldap:
    """The directory, as the harness gets at it."""
    method = platform.profile.identity.method
    if method != "ldap":
        pytest.skip(f"needs a directory; profile {platform.profile.name} has {method}")
    return Ldap()
