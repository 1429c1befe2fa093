"""Logout is final: a promotion of the session store brings no session back to life."""

from __future__ import annotations

import allure
import pytest

from infraforge import faults, promotion
from infraforge.checkers import ended_sessions_stay_ended, under_fault
from infraforge.faults import Away
from infraforge.verdict import check, control
from infraforge.workloads.sign_outs import SignIns, SignOuts

SESSIONS = 36


@pytest.mark.exclusive
@pytest.mark.control("SOC2-CC6.1", "SOC2-A1.2", "NIST-AC-12")
@pytest.mark.parametrize("how", ["crash", "unheard"])
@allure.severity(allure.severity_level.CRITICAL)
def test_no_acknowledged_sign_out_is_undone_by_a_promotion(
    platform, front_door, people, nemesis, evidence, how
):
    """Whoever was told that they are signed out stays so, whichever server is master by then."""
    person = people.make("viewer")
    sessions = [front_door.sign_in(person.name, person.password) for _ in range(SESSIONS)]
    watched = promotion.Watched(platform.site, "sessions")
    arriving = SignIns(front_door, person.name, person.password)
    with SignOuts(front_door, sessions) as leaving, arriving:
        leaving.until(ended=3)
        if how == "unheard":  # what is ended from now on, no replica hears of
            nemesis.inject(faults.CutServerOff("sessions", Away.MEMBERS))
            nemesis.inject(faults.FreezeServer("sessions", watched.old, on_top=True))
        else:
            nemesis.inject(faults.HoldServerDown("sessions"))
        new = watched.promoted()
        during = leaving.ended
        nemesis.heal()
        if leaving.left > 1:
            leaving.until(ended=1, broken=True)
        control(leaving.ended > during, "nobody signed out once another server was master")
    outs = leaving.history + nemesis.history + leaving.ask()
    inside = arriving.ask()
    verdict = check(outs, under_fault(ended_sessions_stay_ended))
    gone = [call.key for call in inside.of("ask") if call.ok and not call.value]
    evidence.attach(
        outs,
        verdict,
        sentinels=str(watched.seen()),
        master=new,
        acknowledged=f"{during} until the promotion, {leaving.ended} in all",
        sign_ins_lost=f"{len(gone)} of {len(inside.of('ask'))}",
    )
    assert verdict.holds, verdict.explain()
