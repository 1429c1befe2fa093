"""The index of a run: its tests, their outcomes, and the evidence they rest on. Values, no I/O.

One JSON file for each run. Its conclusions (outcomes, tally, missing tests, exit code) follow from
what it records: `conclusions` computes them, for the writer and for a later check.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infraforge.outcome import WORSE, Tally
from infraforge.verdict import Outcome

SCHEMA = 1
UNABLE = "not on this cluster: "
"""Prefix of the skip reason of a test that this kind of cluster cannot run."""

_PASSED, _FAILED, _SKIPPED = "passed", "failed", "skipped"
_PYTEST_RAN = (0, 1, 5)
"""pytest's exit codes for a complete run, after which the tests decide."""


@dataclass(frozen=True)
class Phase:
    """One phase of a test (`setup`, `call`, `teardown`) as pytest saw it.

    status: passed, failed or skipped; says: broken or unknown, for a failed phase; why: the first
    line of the error.
    """

    status: str
    says: str = ""
    why: str = ""
    seconds: float = 0.0

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of this phase by itself; None for a phase that passed."""
        if self.says:
            return Outcome(self.says)
        return Outcome.SKIPPED if self.status == _SKIPPED else None

    def or_worse(self, other: Phase | None) -> Phase:
        """The worse of two reports about one phase (subtests make several)."""
        rank = (None, *WORSE)
        return self if other is None else max(other, self, key=lambda p: rank.index(p.outcome))


@dataclass(frozen=True)
class Entry:
    """One test that ran, or was skipped.

    kept: the evidence of its verdicts, see `evidence.Evidence.kept`; outcome: as the run counted
    it; starvation: how short of CPU the machine was meanwhile, where that was measured.
    """

    outcome: Outcome
    controls: tuple[str, ...] = ()
    phases: Mapping[str, Phase] = field(default_factory=dict)
    kept: tuple[Mapping[str, str], ...] = ()
    starvation: Mapping[str, Any] | None = None

    def concluded(self) -> Outcome:
        """The outcome that follows from its phases and verdicts: the worst of them."""
        tally = Tally()
        for name, phase in self.phases.items():
            if said := phase.outcome:
                tally.take("", said)
            elif name == "call":
                tally.take("", Outcome.HOLDS)
        for verdict in self.kept:
            if "verdict" in verdict:
                tally.take("", Outcome(verdict["outcome"]))
        return tally.outcomes.get("", Outcome.SKIPPED)

    @property
    def skipped_because(self) -> str:
        """Why it was skipped; "" where it was not."""
        return next((p.why for p in self.phases.values() if p.status == _SKIPPED), "")


@dataclass(frozen=True)
class Profiled:
    """The profile under test: its components, and the tests that it requires of this run."""

    name: str
    components: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conclusions:
    """The results of the run as a whole. unable: required cases that this cluster cannot run."""

    tally: Mapping[str, int]
    missing: tuple[str, ...]
    unable: tuple[str, ...]
    exit_code: int | None


@dataclass(frozen=True)
class Index:
    """One run. Times are UTC in ISO 8601; ended: "" for a run that did not end.

    harness: version, and code, a digest of the judging code; images: reference → digest;
    expected: test → controls, for the whole suites that were selected; None where pytest could not
    collect them, for the reason in expected_lacks; results: where Allure's results are, if the user
    chose a place; cases, unable, partly: see `outcome.Tally`; pytest_status: pytest's exit code.
    """

    run: str
    started: str
    ended: str = ""
    arguments: tuple[str, ...] = ()
    commit: str = ""
    dirty: bool | None = None
    harness: Mapping[str, str] = field(default_factory=dict)
    profile: Profiled | None = None
    platform: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    starvation: Mapping[str, Any] | None = None
    expected: Mapping[str, tuple[str, ...]] | None = None
    expected_lacks: str = ""
    results: str = ""
    tests: Mapping[str, Entry] = field(default_factory=dict)
    cases: tuple[str, ...] = ()
    unable: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    of_platform: bool = True
    pytest_status: int | None = None
    concluded: Conclusions = Conclusions({}, (), (), None)

    @property
    def came_to_its_end(self) -> bool:
        """Whether pytest ran everything it had selected, whatever the outcomes."""
        return self.pytest_status in _PYTEST_RAN

    def conclusions(self) -> Conclusions:
        """The results that follow from the recorded tests, by the run's own rules."""
        outcomes = {node: entry.outcome for node, entry in self.tests.items()}
        unable = {node for node in self.unable if self._says_unable(node)}
        tally = Tally(outcomes, set(self.cases), unable, set(self.partly))
        required = self.profile.required if self.profile else ()
        code = self.pytest_status
        if self.of_platform and code is not None:
            code = tally.concluded(code, required)
        counts = {outcome.value: tally.count(outcome) for outcome in Outcome}
        missing, not_here = tally.missing(required), tally.not_here(required)
        return Conclusions(counts, tuple(missing), tuple(not_here), code)

    def _says_unable(self, node: str) -> bool:
        """Whether a case was skipped because of this cluster: a list alone excuses nothing."""
        entry = self.tests.get(node)
        return entry is not None and entry.skipped_because.startswith(UNABLE)

    def inapplicable(self) -> dict[str, str]:
        """Tests that do not apply to this profile, because it lacks their subject → the reason.

        Only tests skipped for that stated reason, and not required by the profile; a case of a
        required test only where the reason names a component that the profile lacks.
        """
        profile = self.profile
        if profile is None:
            return {}
        about, reasons = f"profile {profile.name} has ", {}
        lacking = re.compile(re.escape(about) + r"no (\S+)")
        for node, entry in self.tests.items():
            why = entry.skipped_because
            if entry.outcome is not Outcome.SKIPPED or about not in why:
                continue
            named = lacking.search(why)
            absent = named is not None and named[1] not in profile.components
            if node.split("[")[0] not in profile.required or absent:
                reasons[node] = why
        return reasons

    def to_json(self) -> str:
        data = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return json.dumps(data, indent=1, sort_keys=True, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Index:
        """Parse what `to_json` wrote. Raises ValueError, naming what is odd, for anything else."""
        try:
            data = json.loads(text)
            _known(data.pop("schema"))
            profile, expected = data.pop("profile"), data.pop("expected")
            concluded = data.pop("concluded")
            tests = {node: _entry(entry) for node, entry in data.pop("tests").items()}
            made = cls(
                **_tuples(data),
                profile=Profiled(**_tuples(profile)) if profile else None,
                expected=expected if expected is None else _tuples(expected),
                tests=tests,
                concluded=Conclusions(**_tuples(concluded)),
            )
            odd = _odd(made)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the index of a run: {type(error).__name__}: {error}") from error
        if odd:
            raise ValueError(f"not the index of a run: {odd}")
        if made.to_json().encode() != (text.encode() if isinstance(text, str) else text):
            raise ValueError("not the index of a run: not in the form in which one is written")
        return made


def _known(schema: Any) -> None:
    if schema != SCHEMA:
        raise ValueError(f"schema {schema!r}; this version reads {SCHEMA}")


def _entry(data: Mapping[str, Any]) -> Entry:
    phases = {name: Phase(**phase) for name, phase in data["phases"].items()}
    for phase in phases.values():
        if phase.status not in (_PASSED, _FAILED, _SKIPPED):
            raise ValueError(f"a phase is {phase.status!r}")
    return Entry(**{**_tuples(data), "outcome": Outcome(data["outcome"]), "phases": phases})


def _odd(index: Index) -> str:
    """What in the index has a wrong type or value; "" for nothing."""
    texts: list[Any] = [index.run, index.started, index.ended, index.commit, index.expected_lacks]
    texts += [index.results, *index.arguments, *index.cases, *index.unable, *index.partly]
    for told in (index.harness, index.platform, index.images, index.machine):
        texts += [*told.keys(), *told.values()]
    for controls in (index.expected or {}).values():
        texts += controls
    if index.profile:
        texts += [index.profile.name, *index.profile.components, *index.profile.required]
    for entry in index.tests.values():
        texts += entry.controls
        for phase in entry.phases.values():
            texts += [phase.says, phase.why]
            if phase.says not in ("", *Outcome):
                return f"a phase says {phase.says!r}"
        for kept in entry.kept:
            texts += kept.values()
            if "history" not in kept and Outcome(kept["outcome"]) and not kept["verdict"]:
                return "a verdict has no file"
    for number in (index.pytest_status, index.concluded.exit_code):
        if number is not None and not isinstance(number, int):
            return f"{number!r} is not an exit code"
    return next((f"{text!r} is not text" for text in texts if not isinstance(text, str)), "")


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with its lists as tuples."""
    return {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
