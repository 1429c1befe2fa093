"""The follower: how it reads a directory, and what it writes to Vault."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from infraforge.selftests import apps  # noqa: F401

directory = importlib.import_module("infraforge_follower.directory")
follow = importlib.import_module("infraforge_follower.follow")

GROUPS = ("admin", "developer", "viewer")
ADA = directory.Person("ada@infraforge.example", disabled=False)
VERA = directory.Person("vera@infraforge.example", disabled=False)


def said(people: Mapping[str, Any] | None = None, **groups: set[str]) -> Any:
    everybody = {"ada": ADA, "vera": VERA} if people is None else people
    members = {group: frozenset(groups.get(group, ())) for group in GROUPS}
    return directory.Said(everybody, members)


class Vault:
    """Entities, aliases and groups as Vault keeps them; counts what it is asked."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.members: dict[str, list[str]] = {group: [] for group in GROUPS}
        self.asked = 0
        self.fails_at = ""

    def people(self) -> dict[str, str]:
        self.asked += 1
        return dict(self.aliases)

    def read(self, path: str) -> Mapping[str, Any] | None:
        self.asked += 1
        kind, name = path.rsplit("/", 1)
        if kind == "identity/group/name":
            return {"member_entity_ids": self.members[name] or None}
        return self.entities.get(name if kind.endswith("/id") else f"id-of-{name}")

    def write(self, path: str, values: Mapping[str, Any]) -> None:
        self.asked += 1
        if path == self.fails_at:
            raise ConnectionError
        kind, name = path.rsplit("/", 1)
        if kind == "identity/group/name":
            self.members[name] = list(values["member_entity_ids"])
        elif path == "identity/entity-alias":
            assert values["mount_accessor"] == "ldap-1"
            self.aliases[values["name"]] = values["canonical_id"]
        else:
            key = name if kind.endswith("/id") else f"id-of-{name}"
            self.entities[key] = {"id": key, "name": name, **values}

    def delete(self, path: str) -> None:
        key = path.rsplit("/", 1)[1]
        del self.entities[key]
        self.aliases = {name: of for name, of in self.aliases.items() if of != key}


class Stage:
    """A follower between a directory that says what the test wants and such a Vault."""

    def __init__(self) -> None:
        self.now = 0.0
        self.says = said(admin={"ada"}, viewer={"vera"})
        self.vault = Vault()
        self.follower = follow.Follower(
            lambda: self.says,
            self.vault,
            GROUPS,
            "ldap-1",
            verify=60.0,
            clock=lambda: self.now,
        )

    def round(self) -> int:
        changes: int = self.follower.round()
        return changes


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.round()
    return made


def test_vault_learns_everybodys_name_address_and_groups(stage: Stage) -> None:
    assert stage.vault.aliases == {"ada": "id-of-ada", "vera": "id-of-vera"}
    assert stage.vault.entities["id-of-ada"]["metadata"] == {"email": ADA.email}
    assert stage.vault.members == {
        "admin": ["id-of-ada"],
        "developer": [],
        "viewer": ["id-of-vera"],
    }


def test_vault_is_not_asked_while_nothing_changes(stage: Stage) -> None:
    asked = stage.vault.asked
    stage.now = 59.0
    assert stage.round() == 0
    assert stage.vault.asked == asked


@pytest.mark.parametrize(
    ("change", "members"),
    [
        (said(viewer={"ada", "vera"}), {"admin": [], "viewer": ["id-of-ada", "id-of-vera"]}),
        (said(viewer={"vera"}), {"admin": [], "viewer": ["id-of-vera"]}),
        (said(developer={"ada"}), {"admin": [], "developer": ["id-of-ada"], "viewer": []}),
    ],
)
def test_a_change_of_groups_is_told_in_the_next_round(
    stage: Stage, change: Any, members: Mapping[str, list[str]]
) -> None:
    stage.says = change
    assert stage.round()
    assert {group: stage.vault.members[group] for group in members} == members


def test_whoever_is_locked_is_disabled_and_whoever_is_removed_is_gone(stage: Stage) -> None:
    stage.says = said({"ada": directory.Person(ADA.email, disabled=True)}, admin={"ada"})
    stage.round()
    assert stage.vault.entities["id-of-ada"]["disabled"]
    assert set(stage.vault.entities) == set(stage.vault.aliases.values()) == {"id-of-ada"}


def test_a_person_who_signed_in_before_the_first_sync_gets_their_name(stage: Stage) -> None:
    stage.vault.aliases["new"] = "e9"
    stage.vault.entities["e9"] = {"id": "e9", "name": "entity_1", "metadata": None}
    stage.says = said({"ada": ADA, "new": VERA}, viewer={"new"})
    stage.round()
    assert stage.vault.entities["e9"]["name"] == "new"
    assert stage.vault.members["viewer"] == ["e9"]


def test_an_empty_directory_is_not_believed(stage: Stage) -> None:
    stage.says = said({})
    with pytest.raises(follow.Doubtful):
        stage.round()
    assert set(stage.vault.aliases) == {"ada", "vera"}


@pytest.mark.parametrize("groups", [{}, {"viewer": set()}, {"others": {"ada"}}])
def test_groups_that_are_all_empty_are_not_believed(
    stage: Stage, groups: dict[str, set[str]]
) -> None:
    before = dict(stage.vault.members)
    stage.says = said({"ada": ADA, "vera": VERA}, **groups)
    with pytest.raises(follow.Doubtful):
        stage.round()
    assert stage.vault.members == before


def test_what_vault_lost_is_restored_within_a_minute(stage: Stage) -> None:
    stage.vault.members["viewer"] = ["id-of-ada"]
    stage.vault.entities["id-of-vera"]["disabled"] = True
    stage.now = 60.0
    assert stage.round() == 2
    assert stage.vault.members["viewer"] == ["id-of-vera"]
    assert not stage.vault.entities["id-of-vera"]["disabled"]


def test_a_failed_round_starts_over(stage: Stage) -> None:
    stage.says = said(viewer={"ada", "vera"})
    stage.vault.fails_at = "identity/group/name/viewer"
    with pytest.raises(ConnectionError):
        stage.round()
    stage.vault.fails_at = ""
    assert stage.round() == 1
    assert stage.vault.members["viewer"] == ["id-of-ada", "id-of-vera"]


# what search results say


def entry(dn: str, **values: list[bytes]) -> dict[str, Any]:
    return {"dn": dn, "raw_attributes": values}


def test_members_are_those_people_whose_entries_they_name_in_any_case() -> None:
    people = [
        entry("uid=Ada,ou=people", uid=[b"Ada"], mail=[b"ada@x.example"], pwdAccountLockedTime=[]),
        entry("uid=bob,ou=people", uid=[b"bob"], pwdAccountLockedTime=[directory.LOCKED]),
        entry("uid=cy,ou=people", uid=[b"cy"], pwdAccountLockedTime=[b"20261125120000Z"]),
    ]
    groups = [entry("cn=Viewer", cn=[b"Viewer"], member=[b"UID=ada,ou=people", b"cn=nobody"])]
    understood = directory.understood(people, groups)
    assert understood.people["ada"] == directory.Person("ada@x.example", disabled=False)
    assert {name for name, person in understood.people.items() if person.disabled} == {"bob"}
    assert understood.groups == {"viewer": frozenset({"ada"})}


def test_a_name_shared_by_two_entries_is_disabled() -> None:
    people = [entry("uid=a,ou=x", uid=[b"a"]), entry("uid=A,ou=y", uid=[b"A"])]
    assert directory.understood(people, ()).people["a"].disabled


MUELLER = "m\u00fcller"
APART = "mu\u0308ller"  # the same name, taken apart


def test_a_name_of_any_letters_is_shown_composed_and_known_to_vault_as_it_is_written(
    stage: Stage,
) -> None:
    dn = "uid=M\u00fcller,ou=people"
    people = [
        entry("uid=ada,ou=people", uid=[b"ada"]),
        entry(dn, uid=[b"M\xc3\xbcller"]),
        entry(f"uid={APART.upper()}2,ou=people", uid=[f"{APART.upper()}2".encode()]),
    ]
    members = [f"uid={APART},ou=people".encode(), b"uid=m\\C3\\BCller2,ou=people"]
    found = directory.understood(people, [entry("cn=viewer", cn=[b"viewer"], member=members)])
    assert set(found.people) == {"ada", MUELLER, f"{APART}2"}
    assert found.groups == {"viewer": frozenset({MUELLER, f"{APART}2"})}
    stage.says = found
    stage.round()
    shown = {stage.vault.entities[key]["name"] for key in stage.vault.aliases.values()}
    assert shown == {"ada", MUELLER, f"{MUELLER}2"}
    assert f"{APART}2" in stage.vault.aliases  # what Vault's LDAP method makes of the entry
    assert stage.round() == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (MUELLER, APART),
        (MUELLER, APART.upper()),
        ("ian", "\u0130an"),  # Go makes a plain i of it, so Vault would take one for the other
    ],
)
def test_two_entries_whose_names_are_one_are_nobodys(one: str, other: str) -> None:
    people = [
        entry(f"uid={one},ou=x", uid=[one.encode()]),
        entry(f"uid={other},ou=y", uid=[other.encode()]),
        entry("uid=ada,ou=x", uid=[b"ada"]),
    ]
    member = f"uid={other},ou=y".encode()
    for order in (people, people[::-1]):
        found = directory.understood(order, [entry("cn=admin", cn=[b"admin"], member=[member])])
        assert [name for name, person in found.people.items() if not person.disabled] == ["ada"]
        assert len(found.people) == 2


def test_whoever_vault_would_take_for_one_of_several_is_nobody() -> None:
    """I with a dot: apart it is called as the third is, and shown as the first."""
    given = ("ian", "I\u0307an", "i\u0307an")
    people = [entry(f"uid={one},ou={n}", uid=[one.encode()]) for n, one in enumerate(given)]
    for order in itertools.permutations(people):
        assert all(person.disabled for person in directory.understood(order, ()).people.values())


def test_letters_that_only_look_alike_are_different_people() -> None:
    people = [entry("uid=ada", uid=[b"ada"]), entry("uid=x", uid=["\u0430da".encode()])]
    people[1]["dn"] = "uid=\u0430da"
    assert not any(person.disabled for person in directory.understood(people, ()).people.values())


@pytest.mark.parametrize("name", ["ada\u200f", "a\u200bda", "a b", "a/b", "..", "a\u200dda"])
def test_whose_name_hides_or_deceives_is_left_out(name: str) -> None:
    people = [entry("uid=ada", uid=[b"ada"]), entry(f"uid={name}", uid=[name.encode()])]
    member = [f"uid={name}".encode()]
    found = directory.understood(people, [entry("cn=admin", cn=[b"admin"], member=member)])
    assert (set(found.people), found.unfit) == ({"ada"}, 1)
    assert found.groups == {"admin": frozenset()}


def test_an_entry_is_called_by_its_uid_wherever_that_stands_in_its_name() -> None:
    """As Vault's `username_as_alias`: the first uid in the DN, else what was typed."""
    people = [
        entry("cn=A+uid=one,ou=people", uid=[b"other", b"one"]),
        entry("cn=B\\,uid=no,ou=people", uid=[b"Two"]),
        entry("uid=o\\27brien\\2C,ou=people", uid=[b"x"]),
    ]
    found = directory.understood(people, ())
    assert set(found.people) == {"one", "two"}
    assert found.unfit == 1
