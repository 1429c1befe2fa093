"""The table of roles is complete, and equals what the backend enforces."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401
from infraforge.selftests.test_app_backend_app import NoCredentials
from infraforge.workloads.roles import ALLOWED, DENIED, Roles, treated

access = importlib.import_module("infraforge_backend.access")
application = importlib.import_module("infraforge_backend.app")
config = importlib.import_module("infraforge_backend.config")
services = importlib.import_module("infraforge_backend.services")

TABLE = Path(__file__).parents[2] / "suites" / "access" / "roles.toml"
ROLES = Roles.load(TABLE)


def routes() -> set[tuple[str, str]]:
    app: Any = application.create(services.Services(config.Config(), NoCredentials()))
    return {(m, rule.rule) for rule in app.url_map.iter_rules() for m in rule.methods - {"HEAD"}}


def test_every_route_of_the_backend_is_in_the_table() -> None:
    told = {(row.method, row.route) for row in ROLES.declared}
    assert told | {("GET", path) for path in ROLES.inner} == routes()
    assert told == set(access.RULES)


def test_the_table_and_the_backend_agree_cell_by_cell() -> None:
    for row in ROLES.declared:
        for role in ("admin", "developer", "viewer"):
            least = access.RULES[row.method, row.route]
            assert (ROLES.cell(role, row) == ALLOWED) == (access.Role[role.upper()] >= least), row


def test_every_method_of_every_path_has_a_row() -> None:
    rows = [(row.method, row.path) for row in ROLES.rows()]
    paths = {row.path for row in ROLES.declared}
    assert len(rows) == len(set(rows)) == len(paths) * len(ROLES.methods)


def test_nobody_is_allowed_anything_and_roles_are_known() -> None:
    for row in ROLES.declared:
        assert set(row.allowed) <= set(ROLES.roles) - {"nobody", "in no group"}, row


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (200, "application/json", ALLOWED),
        (403, "application/problem+json", DENIED),
        (405, "application/problem+json; charset=utf-8", DENIED),
        (403, "text/html", "403 text/html"),
        (500, "application/problem+json", "500 application/problem+json"),
        (404, "", "404"),
    ],
)
def test_only_what_was_done_counts_as_allowed(status: int, kind: str, told: str) -> None:
    row = next(row for row in ROLES.rows() if row.name == "GET /api/me")
    assert treated(row, status, kind) == told
