"""Who may do what at the backend."""

from __future__ import annotations

import importlib

import pytest

from infraforge.selftests import apps  # noqa: F401  makes the next imports possible

access = importlib.import_module("infraforge_backend.access")


standing = importlib.import_module("infraforge_backend.standing")


def identity(**headers: str) -> object:
    sent = {"Subject": "1c2d-3e4f", **headers}
    return access.Identity.from_headers({f"X-Forwarded-{k}": v for k, v in sent.items()})


def test_no_user_header_is_no_identity() -> None:
    assert identity() is None
    assert identity(Groups="admin") is None
    assert identity(User="  ", Groups="admin") is None


@pytest.mark.parametrize("subject", ["", " ", "../group/id/x", "a?list=true", "a" * 65, "zoë"])
def test_a_subject_that_is_no_entitys_id_is_no_identity(subject: str) -> None:
    assert identity(User="ada", Groups="admin", Subject=subject) is None


def test_groups_are_those_of_now_and_not_of_the_sign_in() -> None:
    who = identity(User="ada", Groups="admin")
    now = who.now(standing.Standing("ada", ("viewer",), False))
    assert (now.role_name, now.groups) == ("viewer", ("viewer",))
    assert who.now(standing.Standing("ada", (), False)).role is None


@pytest.mark.parametrize(
    ("user", "disabled"), [("ada", True), ("", True), ("", False), ("ada2", False)]
)
def test_disabled_removed_and_renamed_people_have_no_identity(user: str, disabled: bool) -> None:
    who = identity(User="ada", Groups="admin")
    assert who.now(standing.Standing(user, ("admin",), disabled)) is None


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        ("viewer", "viewer"),
        ("developer", "developer"),
        ("viewer,admin", "admin"),
        (" developer , viewer ", "developer"),
        ("", ""),
        ("Admin", ""),
        ("administrators", ""),
        ("admin;viewer", ""),
    ],
)
def test_role_is_the_highest_group_and_only_exact_names_count(groups: str, role: str) -> None:
    assert identity(User="ada", Groups=groups).role_name == role


@pytest.mark.parametrize(
    ("group", "allowed"),
    [
        ("viewer", {("GET", "/api/projects"), ("HEAD", "/api/projects"), ("GET", "/api/me")}),
        (
            "developer",
            {
                ("GET", "/api/projects"),
                ("HEAD", "/api/projects"),
                ("GET", "/api/me"),
                ("POST", "/api/projects"),
            },
        ),
        (
            "admin",
            {
                ("GET", "/api/projects"),
                ("HEAD", "/api/projects"),
                ("GET", "/api/me"),
                ("POST", "/api/projects"),
                ("GET", "/api/audit"),
            },
        ),
        ("guest", set()),
    ],
)
def test_the_table_of_roles_is_enforced(group: str, allowed: set[tuple[str, str]]) -> None:
    asked = [
        ("GET", "/api/projects"),
        ("HEAD", "/api/projects"),
        ("GET", "/api/me"),
        ("POST", "/api/projects"),
        ("GET", "/api/audit"),
        ("PATCH", "/api/projects"),
        ("GET", "/api/secret"),
    ]
    who = identity(User="x", Groups=group)
    assert {item for item in asked if who.may(*item)} == allowed


# the last two end with a byte that is a blank in latin-1
@pytest.mark.parametrize("name", ["zoë", "דני", "王小明", "o'brien", "voilà", "дворжах"])
def test_names_are_read_as_utf8(name: str) -> None:
    wire = name.encode().decode("latin-1")
    assert identity(User=wire, Groups="viewer").user == name
