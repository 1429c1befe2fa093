"""A part of the pytest plugin: the fixtures that suites and experiments share."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import pytest

from infraforge import evidence as evidences
from infraforge import (
    interrupts,
    noting,
    session,
    stack,
)
from infraforge.errors import UsageError
from infraforge.faults.nemesis import Nemesis
from infraforge.stack import Platform
from infraforge.workloads.backend_client import ApiError, BackendClient, Project
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import People, Person
from infraforge.workloads.traffic import Traffic
from infraforge.workloads.visitor import Visitor


@pytest.fixture(scope="session")
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """The running platform; stood up before the first test by the controlling process."""
    config = request.config
    found = stack.attach(session.name_of(config))
    with contextlib.closing(found.site):
        yield found


@pytest.fixture(scope="session")
def front_door(platform: Platform) -> FrontDoor:
    """The one way in, as a user has it."""
    return FrontDoor(platform.origin, platform.ca_file, platform.profile.ports.http)


@pytest.fixture
def people(platform: Platform) -> Iterator[People]:
    """Makes persons of a test's own, and removes them."""
    made = People(platform.site)
    yield made
    made.remove_all()


def _signed_in(platform: Platform, front_door: FrontDoor, name: str) -> BackendClient:
    person = People(platform.site).known(name)
    return BackendClient(front_door.sign_in(person.name, person.password), platform.origin)


@pytest.fixture(scope="session")
def admin(platform: Platform, front_door: FrontDoor) -> BackendClient:
    """ada, signed in."""
    return _signed_in(platform, front_door, "ada")


@pytest.fixture(scope="session")
def developer(platform: Platform, front_door: FrontDoor) -> BackendClient:
    """devon, signed in."""
    return _signed_in(platform, front_door, "devon")


@pytest.fixture(scope="session")
def viewer(platform: Platform, front_door: FrontDoor) -> BackendClient:
    """vera, signed in."""
    return _signed_in(platform, front_door, "vera")


@pytest.fixture
def devon(platform: Platform) -> Person:
    """A developer, and his password."""
    return People(platform.site).known("devon")


@pytest.fixture
def visitor(front_door: FrontDoor, devon: Person) -> Visitor:
    """The developer in a browser of this test's own, signed in."""
    return front_door.sign_in(devon.name, devon.password)


@pytest.fixture
def project(developer: BackendClient, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project of the test's own."""
    # words alone: with its parameters a test's name may look like code, which the firewall stops
    words = " ".join(re.findall(r"[a-z0-9]+", request.node.name.lower()))
    made = developer.create_project(f"{words[:150]} {os.getpid()}")
    yield made
    with contextlib.suppress(ApiError):  # it goes with the platform
        developer.delete_project(made.id)


@pytest.fixture
def traffic(
    platform: Platform, front_door: FrontDoor, developer: BackendClient, project: Project
) -> Traffic:
    """Somebody who goes on reading, writing, keeping files, signing in and out, in a `with`."""
    return Traffic(front_door, People(platform.site).known("devon"), developer, project)


@pytest.fixture
def nemesis(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Nemesis]:
    """Injects faults; undoes what is left of them."""
    if request.node.get_closest_marker("exclusive") is None:
        # others would be judged on what it breaks, and take its fault for one that was left open
        raise UsageError(f"{request.node.nodeid} breaks the platform: mark it exclusive")
    made = Nemesis(platform.site)
    yield made
    with interrupts.undisturbed():
        made.heal()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> evidences.Evidence:
    """Attaches what a verdict rests on to the report."""
    made = evidences.Evidence(request.node.nodeid)
    request.node.stash[noting.OF_TEST] = made.kept
    return made
