"""Recovery times: the gap that clients saw with its error, and the terms that make it up."""

from __future__ import annotations

import pytest

from infraforge.checkers import RecoversWithin, of, recovery_is_explained, under_fault
from infraforge.checkers.outages import outages
from infraforge.checkers.recovery import recoveries
from infraforge.history import NEMESIS, WATCH, History, Kind, Operation, Value
from infraforge.verdict import Outcome, Rule
from infraforge.workloads.postgresql import event, machine

MS = 1_000_000


def call(
    process: str, function: str, since: int, until: int, value: Value = None, *, kind: str = "ok"
) -> History:
    """One operation between two times, ms."""
    key = value[0] if function == "role" and isinstance(value, tuple) else None
    value = value[1:] if function == "role" and isinstance(value, tuple) else value
    invoke = Operation(process, Kind.INVOKE, function, key, None, since * MS)  # type: ignore[arg-type]
    done = Operation(process, Kind(kind), function, key, value, until * MS)  # type: ignore[arg-type]
    return History((invoke, done))


def together(*parts: History) -> History:
    operations = [operation for part in parts for operation in part.operations]
    return History(tuple(sorted(operations, key=lambda operation: operation.time)))


def writes(since: int, until: int, every: int = 10, kind: str = "ok") -> History:
    """A writer that begins one each so many ms, acknowledged 5 ms later."""
    return together(
        *(call("w", "add", at, at + 5, at, kind=kind) for at in range(since, until, every)),
    )


def fault(since: int, until: int) -> History:
    return call(NEMESIS, "kill", since, until, "pg-0")


OUTAGE = together(
    writes(0, 1000), fault(1000, 1040), writes(1000, 3000, kind="info"), writes(3000, 4000)
)
"""Acknowledged until 995 ms and again from 3,005 ms on; the rhythm is 10 ms."""
EVENTS = together(
    event("detected", 1000 * MS, 1200 * MS),
    event("elected", 1900 * MS, 1900 * MS, "pg-1"),
    event("promoted", 2500 * MS, 2510 * MS),
    event("routed", 2700 * MS, 2800 * MS),
)
STARVED = machine(500 * MS, 2000 * MS, ["cpu 0.99 is above 0.97"])


def test_the_gap_is_measured_with_its_error() -> None:
    (outage,) = outages(OUTAGE)
    assert outage.seconds == pytest.approx(2.01)
    assert outage.error == pytest.approx(0.01)
    assert outage.last.time == 995 * MS
    assert outage.first
    assert outage.first.time == 3005 * MS


@pytest.mark.parametrize(
    ("seen", "within", "outcome", "says"),
    [
        pytest.param(OUTAGE, 2.5, Outcome.HOLDS, "2.010 s without", id="in time"),
        pytest.param(OUTAGE, 1.9, Outcome.BROKEN, "at least 2.000, not 1.9", id="late"),
        pytest.param(OUTAGE, 2.005, Outcome.UNKNOWN, "error is 0.010", id="too near to tell"),
        pytest.param(
            together(OUTAGE, STARVED), 1.9, Outcome.UNKNOWN, "starved machine: cpu", id="starved"
        ),
        pytest.param(
            together(OUTAGE, STARVED), 2.5, Outcome.HOLDS, "2.010 s", id="in time though starved"
        ),
        pytest.param(
            together(OUTAGE, machine(0, 990 * MS, ["cpu"])),
            1.9,
            Outcome.BROKEN,
            "2.010 s",
            id="starved before it only",
        ),
        pytest.param(
            together(OUTAGE, machine(0, 4000 * MS, [])), 1.9, Outcome.BROKEN, "2.0", id="well"
        ),
        pytest.param(
            together(writes(0, 1000), fault(1000, 1040), writes(1000, 6000, kind="info")),
            2.0,
            Outcome.BROKEN,
            "5.000 s without",
            id="never again",
        ),
        pytest.param(
            together(writes(0, 1000), fault(1000, 1040), writes(1000, 2000, kind="info")),
            2.0,
            Outcome.UNKNOWN,
            "the history ends",
            id="ended too early",
        ),
        pytest.param(
            together(writes(0, 1000), fault(1000, 1040), writes(5000, 6000)),
            2.0,
            Outcome.UNKNOWN,
            "the error is 4.005",
            id="nobody asked",
        ),
        pytest.param(
            together(writes(0, 1000), fault(1000, 1040), call("w", "add", 1000, 5000, 1)),
            2.0,
            Outcome.BROKEN,
            "4.005 s without",
            id="one write waited all the time",
        ),
        pytest.param(
            together(writes(900, 1000), fault(1000, 1040), writes(1000, 2000)),
            2.0,
            Outcome.UNKNOWN,
            "fewer than 20",
            id="no rhythm",
        ),
        pytest.param(writes(0, 1000), 2.0, Outcome.UNKNOWN, "no fault", id="no fault"),
        pytest.param(
            together(writes(0, 1000), fault(1000, 1040), writes(1000, 2000)),
            0.5,
            Outcome.HOLDS,
            "0.010 s without",
            id="nothing was noticed",
        ),
    ],
)
def test_recovery_is_judged_with_its_error(
    seen: History, within: float, outcome: Outcome, says: str
) -> None:
    verdict = RecoversWithin(within)(seen)
    assert verdict.outcome is outcome, verdict.explain()
    assert says in verdict.explain()


def test_each_fault_has_its_own_gap() -> None:
    seen = together(OUTAGE, fault(4000, 4010), writes(4500, 5000))
    assert [round(outage.seconds, 3) for outage in outages(seen)] == [2.01, 0.51]
    assert RecoversWithin(2.5)(seen).outcome is Outcome.HOLDS
    assert "1 holds, 1 broken" in RecoversWithin(0.6, "add")(
        together(OUTAGE, fault(4000, 4010), writes(4010, 5000))
    ).explanation.replace("1 broken, 1 holds", "1 holds, 1 broken")


def test_a_fault_that_did_not_bite_is_unknown() -> None:
    unproven = together(
        writes(0, 1000), call(NEMESIS, "kill", 1000, 1040, kind="info"), writes(1000, 3000)
    )
    assert RecoversWithin(2)(unproven).outcome is Outcome.HOLDS
    assert under_fault(RecoversWithin(2))(unproven).outcome is Outcome.UNKNOWN
    judge = RecoversWithin(2.0, "add")
    assert of(Rule.from_dict(Rule.of(judge).to_dict())) == judge


def test_all_terms_explain_the_whole() -> None:
    seen = together(OUTAGE, EVENTS)
    (recovery,) = recoveries(seen)
    assert {term.name: round(term.seconds, 3) for term in recovery.terms} == {
        "detection": 0.2,
        "election": 0.7,
        "promotion": 0.61,
        "routing": 0.29,
        "reconnect": 0.205,
    }
    assert {term.name: round(term.error, 3) for term in recovery.terms}["detection"] == 0.2
    assert recovery.explained == pytest.approx(2005 / 2010)
    verdict = recovery_is_explained(seen)
    assert verdict.outcome is Outcome.HOLDS
    assert "of 2.010 s 100% is explained: detection 0.200" in verdict.explanation


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (OUTAGE, "0% is explained: no term; not seen: detected, elected, promoted, routed"),
        (together(OUTAGE, event("detected", 1000 * MS, 1200 * MS)), "10% is explained"),
        (
            together(OUTAGE, EVENTS.__class__(EVENTS.operations[2:])),
            "not seen: detected",
        ),
        (together(OUTAGE, EVENTS, STARVED), "the machine was starved"),
        (writes(0, 1000), "no gap in acknowledged writes"),
        (together(writes(0, 1000), fault(1000, 1040), writes(1000, 2000)), "no gap"),
    ],
)
def test_what_is_not_explained_is_unknown(seen: History, says: str) -> None:
    verdict = recovery_is_explained(seen)
    assert verdict.outcome is Outcome.UNKNOWN, verdict.explain()
    assert says in verdict.explanation


def test_events_are_found_in_answers_to_questions() -> None:
    """Who holds the lock, who is primary, where a connection ends: the first new answer counts."""
    watched = together(
        *(call(f"{WATCH}lock", "lock", at, at + 5, "pg-0") for at in range(0, 1300, 100)),
        call(f"{WATCH}lock", "lock", 1300, 1305, None),
        *(call(f"{WATCH}lock", "lock", at, at + 5, "pg-1") for at in range(1500, 4000, 100)),
        *(
            call(f"{WATCH}one", "role", at, at + 5, ("pg-1", "standby", 1))
            for at in range(0, 2000, 100)
        ),
        *(
            call(f"{WATCH}zero", "role", at, at + 5, ("pg-0", "primary", 1))
            for at in range(0, 1300, 100)  # the former primary is none that was promoted
        ),
        call(f"{WATCH}one", "role", 2000, 2005, ("pg-1", "primary", 2)),
        call(f"{WATCH}route", "route", 900, 905, "pg-0"),
        *(call(f"{WATCH}route", "route", at, at + 5, kind="fail") for at in range(1000, 2400, 100)),
        call(f"{WATCH}route", "route", 2400, 2405, "pg-1"),
    )
    (recovery,) = recoveries(together(OUTAGE, watched))
    assert [(mark.name, mark.at // MS) for mark in recovery.marks] == [
        ("struck", 1000),
        ("detected", 1305),
        ("elected", 1505),
        ("promoted", 2005),
        ("routed", 2405),
        ("acknowledged", 3005),
    ]
    assert {mark.name: mark.error // MS for mark in recovery.marks}["promoted"] == 105
    assert recovery_is_explained(together(OUTAGE, watched)).outcome is Outcome.HOLDS


def test_what_is_seen_late_is_set_to_its_effect() -> None:
    """A poll that comes after the acknowledgement tells of what was there before it."""
    late = together(
        OUTAGE,
        EVENTS.__class__(EVENTS.operations[:6]),
        call(f"{WATCH}route", "route", 900, 905, "pg-0"),
        call(f"{WATCH}route", "route", 2990, 3100, "pg-1"),
    )
    (recovery,) = recoveries(late)
    assert recovery.marks[-2].name == "routed"
    assert recovery.marks[-2].at == 3005 * MS
    assert recovery.terms[-1].seconds == 0
