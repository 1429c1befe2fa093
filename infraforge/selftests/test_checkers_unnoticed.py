"""One failed request among many is a failure, and without any request the verdict is unknown."""

from __future__ import annotations

from infraforge.checkers import no_request_failed, of
from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.verdict import Outcome, Rule


def history(*ends: str) -> History:
    """One call each: well, refused, unknown or without an end."""
    recorder = Recorder()
    for number, end in enumerate(ends):
        call = recorder.invoke(f"user {number}", "read")
        if end == "well":
            call.ok()
        elif end == "refused":
            call.fail("404")
        elif end == "unknown":
            call.info("503")
    return recorder.history


def test_all_well_is_unnoticed() -> None:
    verdict = no_request_failed(history("well", "well"))
    assert verdict.holds
    assert "2 of read" in verdict.explain()


def test_one_that_failed_is_told() -> None:
    for end, told in (("refused", "404"), ("unknown", "503"), ("open", "no end")):
        verdict = no_request_failed(history("well", end, "well"))
        assert verdict.outcome is Outcome.BROKEN
        assert "1 of 3 failed" in verdict.explanation
        assert told in verdict.explanation
        assert verdict.evidence


def test_where_nothing_ended_well_nothing_is_said() -> None:
    assert no_request_failed(history()).outcome is Outcome.UNKNOWN
    assert no_request_failed(history("unknown", "refused")).outcome is Outcome.UNKNOWN


def test_it_can_be_judged_again_from_a_kept_history() -> None:
    assert of(Rule.of(no_request_failed)) is no_request_failed
