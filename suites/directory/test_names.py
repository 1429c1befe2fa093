"""People of a directory sign in by the names they have, whatever letters those are written in."""

from __future__ import annotations

import unicodedata

import allure
import pytest

from infraforge.workloads.backend_client import BackendClient
from infraforge.workloads.browser import chromium
from infraforge.workloads.front_door import denies

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5", "NIST-IA-2"),
]

NAMES = {
    "an umlaut": "müller-{}",
    # its last byte in UTF-8 is a blank to who reads it as latin-1
    "another script": "дворжа-{}-х",  # noqa: RUF001
    "from right to left": "דני-{number}-ג",  # with letters of one direction alone (RFC 5893)
    "without case": "王小明{}",
    "an apostrophe": "o'brien-{}",
}
FREE = 5  # wrong passwords until one has to wait


@pytest.mark.parametrize("kind", NAMES)
def test_somebody_with_such_a_name_signs_in_and_signs_what_they_do(
    platform, front_door, people, admin, evidence, kind
):
    """They are called by their name: to themselves, on what they make, and in the audit trail."""
    person = people.make("developer", called=NAMES[kind])
    user = BackendClient(front_door.sign_in(person.name, person.password), platform.origin)
    me = user.me()
    project = user.create_project(f"made by {kind}")
    try:
        components = user.session.ask("GET", "/api/platform/components")
        rows = [row for row in admin.audit(200) if project.id in row["target"]]
    finally:
        user.delete_project(project.id)
    evidence.attach(me=str(me), project=str(project), audit=str(rows))
    assert (me.user, me.email, me.role) == (person.name, person.email, "developer")
    assert project.created_by == person.name
    assert [row["actor"] for row in rows] == [person.name]
    assert components.status_code == 200  # the platform API is told who asks, too


def test_the_dashboard_shows_such_a_name(platform, people, evidence):
    """The name as it is written in the directory, from a browser's own form."""
    person = people.make("viewer", called="müller-{}")
    with chromium(platform.ca_file) as browser:
        browser.open(platform.origin + "/")
        browser.fill("#username", person.name)
        browser.fill("#password", person.password)
        browser.click("button[type=submit]")
        shown = browser.text("#me-user")
        evidence.attach(dashboard=browser.screenshot())
        assert shown == person.name


def test_a_person_is_one_however_their_name_is_written(platform, front_door, people, evidence):
    """Composed or not, in capitals, in full width: the same name, address and rights."""
    person = people.make("developer", called="müller-{}")
    found = {
        ascii(written): BackendClient(
            front_door.sign_in(written, person.password), platform.origin
        ).me()
        for written in ways(person.name)
    }
    evidence.attach(found="\n".join(f"{way}: {me}" for way, me in found.items()))
    assert len(set(found.values())) == 1
    assert found[ascii(person.name)].user == person.name  # Vault's own names are others


def test_all_ways_to_write_a_name_share_its_wrong_passwords(front_door, people, evidence):
    """Nobody guesses longer by spelling a name anew."""
    person = people.make("viewer", called="müller-{}")
    attempt = front_door.begin()
    written = ways(person.name)
    answers = [
        attempt.post_once(written[number % len(written)], "wrong") for number in range(FREE + 3)
    ]
    evidence.attach(answers=str([answer.status_code for answer in answers]))
    assert all(denies(answer) for answer in answers[:FREE])
    # the first wait is a second, which a slow answer may take by itself; the next ones are longer
    assert 429 in [answer.status_code for answer in answers[FREE:]]


def ways(name: str) -> list[str]:
    """The name as it is, taken apart, in capitals, and with its first letter in full width."""
    return [
        name,
        unicodedata.normalize("NFD", name),
        name.upper(),
        chr(ord(name[0]) + 0xFEE0) + name[1:],
    ]
