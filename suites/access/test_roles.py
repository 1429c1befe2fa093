"""Access rules: every cell of the table in roles.toml is tried."""

import uuid
from pathlib import Path

import allure
import pytest
import requests

from infraforge.checkers import cells_match
from infraforge.components.backend import Backend
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.workloads.backend_client import Refused
from infraforge.workloads.roles import ALLOWED, NOBODY, Roles, treated

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "SOC2-CC6.3", "ISO27001-A.5.15", "NIST-AC-3"),
]

ROLES = Roles.load(Path(__file__).with_name("roles.toml"))
CONTENT = b"as it was"
BACKEND_PORT = 8443


@pytest.mark.parametrize("role", ROLES.roles)
def test_each_role_may_do_exactly_what_the_table_says(sign_in, developer, projects, evidence, role):
    """Every method of every endpoint takes effect for the roles allowed, and for no other."""
    visitor = sign_in(role)
    bait = projects()  # the target of changes that must be refused
    cells, declared = {}, {}
    for row in ROLES.rows():
        cell = ROLES.cell(role, row)
        target = projects() if cell == ALLOWED and row.changes else bait
        answer = visitor.ask(
            row.method,
            row.path.format(project=target.id),
            data=row.sends or None,
            headers={"Content-Type": row.kind} if row.sends else {},
        )
        kind = answer.headers.get("Content-Type", "")
        cells[role, row.name] = treated(row, answer.status_code, kind)
        declared[role, row.name] = cell
        if row.method == "POST" and answer.status_code == 201:
            developer.delete_project(answer.json()["id"])
    cells[role, "what it may not change"] = as_it_was(developer, bait)
    declared[role, "what it may not change"] = True
    verdict = cells_match(Table(cells), Table(declared))
    evidence.attach(Table(cells), verdict)
    assert verdict.holds, verdict.explain()


def as_it_was(client, project):
    try:
        same = client.read_project(project.id)[0] == project
        return same and client.get_file(project.id, "a.txt") == CONTENT
    except Refused:  # it was deleted
        return False


@pytest.mark.parametrize("path", ROLES.inner)
def test_the_backends_internal_pages_are_not_public(platform, front_door, admin, path):
    """The front door never exposes the backend's health and metrics pages."""
    with platform.site.forward(Backend.namespace, f"svc/{Backend.name}", BACKEND_PORT) as port:
        direct = requests.get(
            f"https://localhost:{port}{path}", verify=str(platform.ca_file), timeout=15
        )
    control(tells(direct.text), f"the backend itself has no such page: {direct.status_code}")
    for visitor in (front_door.anonymous(), admin.session):
        answer = visitor.ask("GET", path)
        control(answer.status_code < 500, f"{path}: {answer.status_code}")
        assert not tells(answer.text)


def tells(text):
    """Whether the text is one of the backend's internal pages: metrics or health."""
    return "backend_" in text or ("status" in text and "<html" not in text)


@pytest.fixture
def sign_in(front_door, people):
    """Makes a visitor in a role, signed in unless the role is `nobody`."""

    def make(role):
        if role == NOBODY:
            return front_door.anonymous()
        person = people.make(*([] if role == "in no group" else [role]))
        return front_door.sign_in(person.name, person.password)

    return make


@pytest.fixture
def projects(developer):
    """Makes projects with one file each, and removes them at the end."""
    made = []

    def make():
        project = developer.create_project(f"roles {uuid.uuid4().hex}")
        made.append(project)
        developer.put_file(project.id, "a.txt", CONTENT)
        return project

    yield make
    there = {project.id for project in developer.projects()}
    for project in made:
        if project.id in there:
            developer.delete_project(project.id)
