"""Fixtures shared by the failover suite."""

from __future__ import annotations

from collections.abc import Iterator

import minio
import pytest

from infraforge import interrupts
from infraforge.components.minio import Minio
from infraforge.faults.nemesis import Nemesis
from infraforge.stack import Platform


@pytest.fixture
def outage(platform: Platform) -> Iterator[Nemesis]:
    """A second nemesis, for faults that end before those of `nemesis`."""
    made = Nemesis(platform.site)
    yield made
    with interrupts.undisturbed():
        made.heal()


@pytest.fixture
def store(platform: Platform) -> Iterator[minio.Minio]:
    """The object store, as its root user."""
    with Minio().connect(platform.site) as client:
        yield client
