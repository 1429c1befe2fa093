"""What every process of a run notes of its tests, for the index and for Allure."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping

import pytest

from infraforge import evidence
from infraforge.errors import Broken, Inconclusive
from infraforge.report.index import Entry, Phase
from infraforge.verdict import Outcome

KEPT, CONTROLS, STARVED, WHY = (
    f"infraforge_{name}" for name in ("kept", "controls", "starvation", "why")
)
"""Attributes of reports, by which workers tell the controlling process of a test."""
OF_TEST = pytest.StashKey[list[dict[str, str]]]()
"""Where a test's item holds what its evidence kept (`evidence.Evidence.kept`)."""
_PHASES = pytest.StashKey[dict[str, Phase]]()
WORDS = 300
PLACE = "infraforge_results"
LISTING = "--list-controls"
"""The option by which pytest writes down which tests there are, with their controls."""


class Noting:
    """What every process of a run notes of its tests, for the index and for Allure."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        given: Mapping[str, str] = getattr(config, "workerinput", {})
        if place := given.get(PLACE):  # a worker of xdist: where the run is kept
            config.option.allure_report_dir = place

    @pytest.hookimpl(trylast=True)  # -k would find its words in the label's name
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            item.add_marker(evidence.test_label(item.nodeid))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if path := self._config.getoption("list_controls"):
            path.write_text(json.dumps({item.nodeid: controls_of(item) for item in session.items}))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """No test passes with a verdict that does not hold: it may have forgotten to assert."""
        result = yield
        kept = [
            one for one in item.stash.get(OF_TEST, []) if one.get("outcome", "holds") != "holds"
        ]
        told = ", ".join(f"{one['name']} is {one['outcome']}" for one in kept)
        if any(one["outcome"] == "broken" for one in kept):
            raise Broken(f"the test passed, though a verdict does not hold: {told}")
        if kept:
            raise Inconclusive(f"the test passed, though a verdict does not hold: {told}")
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around the plugin's own, which says the outcome
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        made = yield
        if call.excinfo:
            told = str(getattr(call.excinfo.value, "msg", "")) or call.excinfo.exconly()
            setattr(made, WHY, told.partition("\n")[0][:WORDS])
        phases = item.stash.setdefault(_PHASES, {})
        phases[str(made.when)] = phase_of(made)
        said = Entry(Outcome.SKIPPED, phases=phases).concluded()
        if said is not Outcome.SKIPPED or made.skipped:
            evidence.say_in_allure(self._config, said.value)
        if made.when == "teardown":
            setattr(made, KEPT, item.stash.get(OF_TEST, []))
            setattr(made, CONTROLS, controls_of(item))
        return made


def phase_of(report: pytest.TestReport) -> Phase:
    """What a report says of its phase."""
    why = str(getattr(report, WHY, "")) or report.longreprtext.partition("\n")[0][:WORDS]
    says = str(getattr(report, "infraforge", "unknown" if report.failed else ""))
    return Phase(report.outcome, says, why, round(report.duration, 3))


def controls_of(item: pytest.Item) -> list[str]:
    """The controls that a test's markers name."""
    return sorted({str(arg) for mark in item.iter_markers("control") for arg in mark.args})
