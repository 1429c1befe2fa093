"""Profiles: what they may say, and that minimal requires every test there is."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from infraforge import components
from infraforge.components import waves
from infraforge.errors import UsageError
from infraforge.profile import Profile, names, sizes

ROOT = Path(__file__).parents[2]
TREE = ROOT / "platform"


def existing_tests() -> set[str]:
    found = set()
    for path in sorted(
        (*(ROOT / "suites").rglob("test_*.py"), *(ROOT / "chaos").glob("test_*.py"))
    ):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(f"{path.relative_to(ROOT)}::{node.name}")
    return found


BEYOND_MINIMAL = {"suites/queue": "standard", "suites/directory": "minimal-ldap"}
"""Suites of what minimal does not have: folder → the least profile that has it."""


def beyond_minimal(node: str) -> str:
    return BEYOND_MINIMAL.get(node.rpartition("/")[0], "")


def test_minimal_requires_every_test_of_what_it_has() -> None:
    wanted = {node for node in existing_tests() if not beyond_minimal(node)}
    assert set(Profile.load("minimal", TREE).required) == wanted


@pytest.mark.parametrize("name", sorted(set(BEYOND_MINIMAL.values())))
def test_another_requires_every_test_of_minimal_and_of_what_it_has(name: str) -> None:
    wanted = {node for node in existing_tests() if beyond_minimal(node) in ("", name)}
    assert set(Profile.load(name, TREE).required) == wanted


def test_standard_has_all_of_minimal_and_says_the_rest_itself() -> None:
    minimal, standard = (Profile.load(name, TREE) for name in ("minimal", "standard"))
    assert standard.components.items() > minimal.components.items()
    assert len(standard.required) == len(set(standard.required)) > len(minimal.required)
    assert (standard.ports, standard.budgets) == (minimal.ports, minimal.budgets)
    assert (standard.cluster.workers, minimal.cluster.workers) == (1, 0)
    assert standard.machine.memory_gib > minimal.machine.memory_gib
    assert standard.description != minimal.description


@pytest.mark.parametrize("base", ["maximal", "enterprise", "standard"])
def test_a_profile_extends_one_that_is_there_and_complete(tree: Path, base: str) -> None:
    path = tree / "profiles" / "professional.toml"
    path.write_text(f'extends = "{base}"\n' + path.read_text())
    if base == "enterprise":
        assert not Profile.load("professional", tree).deployable
        return
    with pytest.raises(UsageError, match=f"extends '{base}'"):
        Profile.load("professional", tree)


@pytest.mark.parametrize("name", names(TREE))
def test_every_profile_can_be_read_and_its_needs_are_met(name: str) -> None:
    profile = Profile.load(name, TREE)
    assert profile.description
    if profile.deployable:
        waves.in_order([components.load(component) for component in profile.components])


def test_all_four_topologies_exist_and_a_variant_is_none() -> None:
    assert sizes(TREE) == ["minimal", "standard", "professional", "enterprise"]
    assert names(TREE) == ["minimal", "minimal-ldap", *sizes(TREE)[1:]]


def test_minimal_ldap_is_minimal_but_for_where_people_are() -> None:
    minimal, ldap = (Profile.load(name, TREE) for name in ("minimal", "minimal-ldap"))
    assert set(ldap.components) - set(minimal.components) == {"ldap"}
    assert (minimal.identity.method, ldap.identity.method) == ("userpass", "ldap")
    assert (ldap.machine, ldap.cluster) == (minimal.machine, minimal.cluster)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(TREE / "profiles", tmp_path / "profiles")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[machine]", "[machin]", "unknown key 'machin'"),
        ("memory_gib = 4.0", "memory_gb = 4.0", "unknown key 'machine.memory_gb'"),
        ("memory_gib = 4.0", 'memory_gib = "much"', "machine.memory_gib is 'much'"),
        ("https = 8443", "https = true", "ports.https is True"),
        ("[components.backend]\nreplicas = 1", "[components.backend]\nreplicas = 0", "1 or more"),
        ("[components.backend]\nreplicas = 1", "[components.backend]\nreplica = 1", "'components"),
        ("[ports]", "[ports", "minimal.toml"),
        (
            "[ports]",
            '[identity]\nmethod = "kerberos"\n[ports]',
            "'kerberos'; known: userpass, ldap",
        ),
        ("[ports]", '[identity]\nmethods = "ldap"\n[ports]', "unknown key 'identity.methods'"),
    ],
)
def test_a_mistake_in_a_profile_is_told_in_one_line(
    tree: Path, old: str, new: str, said: str
) -> None:
    path = tree / "profiles" / "minimal.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError) as caught:
        Profile.load("minimal", tree)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'maximal'.*minimal, minimal-ldap, standard"):
        Profile.load("maximal", TREE)


def test_needs_that_are_not_there_or_go_in_a_circle_are_errors() -> None:
    one, two = components.Component.plain("one"), components.Component.plain("two")
    type(one).needs = ("two",)
    with pytest.raises(UsageError, match="one needs two; add it to the profile"):
        waves.in_order([one])
    type(two).needs = ("one",)
    with pytest.raises(UsageError, match="need each other: one -> two -> one"):
        waves.in_order([one, two])
