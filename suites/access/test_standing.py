"""A session of this morning opens only what its owner may do now."""

import time

import allure
import pytest

from infraforge import faults
from infraforge.checkers import cells_match
from infraforge.errors import Late, TimedOut
from infraforge.probes import declared, tokens
from infraforge.table import Table
from infraforge.verdict import control
from infraforge.wait import Deadline, seconds, wait_until
from infraforge.workloads.visitor import NoAnswer

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
PROMISED = 20.0  # what docs/platform.md says; a profile may state less
AFTER = 30.0  # what comes so long after its time is late; what does not is never
LOSING = {"disabled", "demoted to viewer", "put out of every group", "removed"}
ANEW = 10.0  # signing in at Vault again, and a look at what is to be had there
MARGIN = 3.0  # a question under way, and Vault's answer
TIMES = 10  # each on a connection of its own: every process of the backend is met


@pytest.mark.waits
def test_whoever_loses_a_right_loses_it_within_the_stated_time(
    platform, front_door, people, evidence
):
    """Disabled, demoted or removed: sessions from before open nothing more after that time."""
    within = declared.standing(platform.site)
    assert within <= PROMISED
    developers = {change: people.make("developer") for change in CHANGES}
    visitors = {
        change: front_door.sign_in(person.name, person.password)
        for change, person in developers.items()
    }
    before = {change: told(visitor) for change, visitor in visitors.items()}
    control(set(before.values()) == {(200, 422)}, f"not developers to begin with: {before}")
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

    wait_until(all_as_stated, deadline.within + AFTER, every=1.0)
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
    wrong = {row for row, column in cells if cells[row, column] != wanted[row, column]}
    if wrong and wrong <= LOSING and in_the_end(visitors, wrong):  # late, and not never
        now = time.monotonic()
        raise Late(f"not within {within:g} s, but later: {sorted(wrong)}", (deadline.began, now))
    assert verdict.holds, verdict.explain()


@pytest.mark.waits
def test_a_right_that_is_given_counts_as_soon(platform, front_door, people):
    """A viewer who is made a developer need not sign in again."""
    person = people.make("viewer")
    visitor = front_door.sign_in(person.name, person.password)
    control(told(visitor) == (200, 403), "no viewer to begin with")
    people.regroup(person, "developer")
    wait_until(
        lambda: all(told(visitor.twin()) == (200, 422) for _ in range(TIMES)),
        seconds(declared.standing(platform.site) + MARGIN),
        every=1.0,
        what="the new developer may write",
        broken=True,
    )


@pytest.mark.exclusive
def test_rights_are_followed_though_the_backends_token_is_revoked(
    platform, front_door, people, nemesis, evidence
):
    """The backend signs in anew; a demotion counts as soon as ever, and nobody else notices."""
    within = declared.standing(platform.site) + MARGIN + ANEW
    demoted = people.make("developer")
    persons = {"demoted": demoted, "left as they are": people.make("developer")}
    visitors = {what: front_door.sign_in(one.name, one.password) for what, one in persons.items()}
    before = {told(visitor) for visitor in visitors.values()}
    control(before == {(200, 422)}, f"not developers to begin with: {before}")
    proof = nemesis.inject(faults.TokensRevoked("backend"))
    people.regroup(demoted, "viewer")
    deadline, fared = Deadline(within), []

    def followed():
        fared.append(told(visitors["left as they are"]))
        return all(told(visitors["demoted"].twin()) == (200, 403) for _ in range(TIMES))

    # unavailable for a moment at most, and never less than they are
    wait_until(
        followed,
        deadline,
        every=1.0,
        ignoring=(NoAnswer,),
        what="the demotion counts",
        broken=True,
    )
    after = {told(visitors["left as they are"].twin()) for _ in range(TIMES)}
    new = tokens.held(platform.site, "backend")
    evidence.attach(proof=proof, others=str(fared), after=str(after))
    nemesis.heal()
    assert set(fared) | after == {(200, 422)}
    assert new, "the backend has no token"


def in_the_end(visitors, changes):
    """Whether each of many questions is answered as it should be, within some more seconds."""

    def all_are():
        return all(
            told(visitors[change].twin()) == CHANGES[change]
            for change in changes
            for _ in range(TIMES)
        )

    try:
        return wait_until(all_are, seconds(AFTER), every=1.0)
    except TimedOut:
        return False


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
