"""Profiles: what they may say, and which tests they require."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infraforge import components, profile, required, stack
from infraforge.components import waves
from infraforge.errors import UsageError
from infraforge.profile import Profile, names, sizes

ROOT = Path(__file__).parents[2]
TREE = ROOT / "platform"


def test_the_lock_names_every_test_there_is_with_what_it_needs() -> None:
    """A test that was deleted, renamed or added: review it, then python -m infraforge.required."""
    assert profile.locked(TREE) == required.declared(ROOT)
    assert (TREE / "profiles" / profile.LOCK).read_text() == required.text(required.declared(ROOT))


def test_minimal_requires_all_but_the_queues_and_the_directorys_tests() -> None:
    minimal, standard, ldap = (
        set(Profile.load(name, TREE).required) for name in ("minimal", "standard", "minimal-ldap")
    )
    every = set(required.declared(ROOT))
    assert len(minimal) > 180
    assert minimal == {node for node in every if not node.startswith(BEYOND_MINIMAL)}
    assert standard - minimal == {node for node in every if node.startswith("suites/queue/")}
    assert ldap - minimal == {node for node in every if node.startswith("suites/directory/")}
    assert minimal < standard
    assert minimal < ldap
    several = {node for node in every if node.startswith(SEVERAL)}
    for name in ("professional", "enterprise"):
        assert set(Profile.load(name, TREE).required) == standard | several


SEVERAL = ("suites/replication/", "suites/promotion/")
BEYOND_MINIMAL = ("suites/queue/", "suites/directory/", *SEVERAL)
"""Suites of components that minimal does not have."""


def test_each_component_that_a_test_needs_is_in_some_profile() -> None:
    known = set()
    for name in names(TREE):
        for component, settings in Profile.load(name, TREE).components.items():
            known |= {component, *(f"{component}/{one}" for one in settings.get("overlays", ()))}
    assert {c for needs in required.declared(ROOT).values() for c in needs} <= known


def test_a_profile_that_cannot_be_stood_up_requires_nothing(tree: Path) -> None:
    path = tree / "profiles" / "planned.toml"
    path.write_text('deployable = false\nextends = "standard"\n')
    planned = Profile.load("planned", tree)
    assert planned.required == ()
    with pytest.raises(UsageError, match="planned, not built yet"):
        stack.checked(planned, tree)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("class TestIt:\n    def test_x(self): ...", "tests are functions"),
        ("async def test_x(): ...", "tests are functions"),
    ],
)
def test_what_the_lock_cannot_read_is_refused(tmp_path: Path, body: str, told: str) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_it.py").write_text(body)
    with pytest.raises(UsageError, match=told):
        required.declared(tmp_path)


def test_writing_the_lock_again_tells_what_came_and_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("suites", "platform/profiles"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "suites" / "conftest.py").write_text("COMPONENTS = ('nats',)")
    test = tmp_path / "suites" / "test_it.py"
    test.write_text("def test_old(): ...\ndef test_kept(): ...\n")
    assert required.main(tmp_path) == 0
    test.write_text("def test_kept(): ...\ndef test_new(): ...\n")
    capsys.readouterr()
    assert required.main(tmp_path) == 0
    said = capsys.readouterr().out
    assert "- suites/test_it.py::test_old" in said
    assert "+ suites/test_it.py::test_new" in said
    assert profile.locked(tmp_path / "platform") == {
        "suites/test_it.py::test_kept": ("nats",),
        "suites/test_it.py::test_new": ("nats",),
    }


def test_standard_has_all_of_minimal_and_says_the_rest_itself() -> None:
    minimal, standard = (Profile.load(name, TREE) for name in ("minimal", "standard"))
    assert standard.components.items() > minimal.components.items()
    assert len(standard.required) == len(set(standard.required)) > len(minimal.required)
    assert (standard.ports, standard.budgets) == (minimal.ports, minimal.budgets)
    assert (standard.cluster.workers, minimal.cluster.workers) == (1, 0)
    assert standard.machine.memory_gib > minimal.machine.memory_gib
    assert standard.description != minimal.description


@pytest.mark.parametrize("base", ["maximal", "enterprise", "professional"])
def test_a_profile_extends_one_that_is_there_and_not_itself(tree: Path, base: str) -> None:
    path = tree / "profiles" / "professional.toml"
    path.write_text(path.read_text().replace('extends = "standard"', f'extends = "{base}"'))
    with pytest.raises(UsageError, match=f"extends '{base}'|extends 'professional'"):
        Profile.load("professional", tree)


def test_what_is_extended_may_extend_another() -> None:
    standard, professional, enterprise = (
        Profile.load(name, TREE) for name in ("standard", "professional", "enterprise")
    )
    assert enterprise.components.keys() == professional.components.keys()
    # beside those: who promotes where there is somebody to promote
    assert professional.components.keys() == standard.components.keys() | {"redis-sentinel"}
    assert enterprise.components["postgres"] == {
        "replicas": 3,
        "overlays": ["replicated", "zones"],
    }
    assert enterprise.components["backend"] == professional.components["backend"]
    assert set(enterprise.required) >= set(professional.required) >= set(standard.required)
    assert len(enterprise.required) == len(set(enterprise.required))
    assert (enterprise.cluster.workers, enterprise.cluster.dns) == (3, "every-node")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('[cluster]\ndns = "nowhere"', "cluster.dns is 'nowhere'; known: kubeadm, every-node"),
        ('[components.nats]\noverlays = "one"', "components.nats.overlays"),
        ("[components.nats]\noverlays = [1]", "components.nats.overlays"),
    ],
)
def test_what_a_profile_line_chooses_must_be_a_choice(tree: Path, line: str, told: str) -> None:
    path = tree / "profiles" / "own.toml"
    path.write_text(f'extends = "standard"\n{line}\n')
    with pytest.raises(UsageError, match=told):
        Profile.load("own", tree)


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
        ("memory_gib = 4.0", "memory_gb = 4.0", "disk_gb, memory_gib; did you mean 'memory_gib'?"),
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
    with pytest.raises(UsageError, match="need each other in a circle: one -> two -> one"):
        waves.in_order([one, two])
