"""A session of this morning opens only what its owner may do now."""

import time

import allure
import pytest

from infraforge.checkers import cells_match
from infraforge.probes import declared
from infraforge.table import Table
from infraforge.wait import Deadline, seconds, wait_until

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.3", "ISO27001-A.5.15", "NIST-AC-3"),
]

# what somebody becomes → what they are told when they read, and when they write nothing sensible
CHANGES = {
    "disabled": (403, 403),
    "demoted to viewer": (200, 403),
    "put out of every group": (403, 403),
    "removed": (403, 403),
    "made a viewer, and a developer again": (200, 422),
    "left as they are": (200, 422),
}
MARGIN = 3.0  # a question under way, and Vault's answer
TIMES = 10  # each on a connection of its own: every process of the backend is met


@pytest.mark.waits
def test_whoever_loses_a_right_loses_it_within_the_stated_time(
    platform, front_door, people, evidence
):
    """Disabled, demoted or removed: sessions from before open nothing more after that time."""
    within = declared.standing(platform.site)
    assert within <= 60
    developers = {change: people.make("developer") for change in CHANGES}
    visitors = {
        change: front_door.sign_in(person.name, person.password)
        for change, person in developers.items()
    }
    before = {change: told(visitor) for change, visitor in visitors.items()}
    assert set(before.values()) == {(200, 422)}, "not all of them were developers to begin with"
    ended: dict[str, float] = {}
    for change, person in developers.items():
        make_so(people, change, person)
        ended[change] = time.monotonic()
    deadline = Deadline(within + MARGIN)
    seen = {}

    def all_as_stated():
        for change, visitor in visitors.items():
            if told(visitor) == CHANGES[change]:
                seen.setdefault(change, round(time.monotonic() - ended[change], 1))
        return deadline.passed

    wait_until(all_as_stated, within + 3 * MARGIN, every=1.0)
    evidence.attach(first_seen_after_seconds=seen, stated=str(within))
    cells, wanted = {}, {}
    for change, (reads, writes) in CHANGES.items():
        for turn in range(TIMES):
            again = visitors[change].twin()
            cells[change, f"reads {turn}"], cells[change, f"writes {turn}"] = told(again)
            wanted[change, f"reads {turn}"] = reads
            wanted[change, f"writes {turn}"] = writes
    verdict = cells_match(Table(cells), Table(wanted))
    evidence.attach(Table(cells), verdict)
    assert verdict.holds, verdict.explain()


@pytest.mark.waits
def test_a_right_that_is_given_counts_as_soon(platform, front_door, people):
    """A viewer who is made a developer need not sign in again."""
    person = people.make("viewer")
    visitor = front_door.sign_in(person.name, person.password)
    assert told(visitor) == (200, 403)
    people.regroup(person, "developer")
    wait_until(
        lambda: all(told(visitor.twin()) == (200, 422) for _ in range(TIMES)),
        seconds(declared.standing(platform.site) + MARGIN),
        every=1.0,
        what="the new developer may write",
        broken=True,
    )


def told(visitor):
    """What reading and writing are answered; 422 to who may write and writes nothing sensible."""
    reads = visitor.ask("GET", "/api/me").status_code
    return reads, visitor.ask("POST", "/api/projects", json={}).status_code


def make_so(people, change, person):
    if change == "disabled":
        people.disable(person)
    elif change == "removed":
        people.remove(person)
    elif change == "put out of every group":
        people.regroup(person)
    elif change != "left as they are":
        people.regroup(person, "viewer")
        if "again" in change:
            people.regroup(person, "developer")
