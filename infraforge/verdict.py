"""Verdicts: holds, broken or unknown. Unknown never passes, and never looks like broken.

    assert verdict.holds, verdict.explain()

fails the test where the property is broken, and raises Inconclusive where nothing can be said:
*failed* and *broken* in Allure. A test requires what it rests on, without judging it, by

    control(answer.ok, "the request that must succeed did not")
"""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from infraforge.errors import Broken, Inconclusive, Late
from infraforge.history import History, Operation
from infraforge.table import Table

_SHOWN = 12


class Outcome(enum.StrEnum):
    """What can be said of a property, and of the test of it.

    SKIPPED is said of a test alone: no verdict was reached.
    """

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Rule:
    """A checker as data, from which `checkers.of` rebuilds it.

    parameters: name → JSON scalar, or the Rule of another checker.
    """

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, checker: Callable[..., Any]) -> Rule:
        """The rule of a checker: a function by its name, a dataclass by class name and fields.

        A checker outside `infraforge.checkers` keeps its module's name, so that it is never
        mistaken for another one with the same name.
        """
        made = dataclasses.is_dataclass(checker) and not isinstance(checker, type)
        named: Any = type(checker) if made else checker
        name = str(getattr(named, "__qualname__", type(checker).__qualname__))
        module = str(getattr(named, "__module__", ""))
        name = name if module.startswith("infraforge.checkers") else f"{module}:{name}"
        if not dataclasses.is_dataclass(checker):
            return cls(name)
        fields = {item.name: getattr(checker, item.name) for item in dataclasses.fields(checker)}
        return cls(name, tuple((k, cls.of(v) if callable(v) else v) for k, v in fields.items()))

    def to_dict(self) -> dict[str, Any]:
        told = {
            name: value.to_dict() if isinstance(value, Rule) else value
            for name, value in self.parameters
        }
        return {"name": self.name, "parameters": told}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rule:
        """Parse the output of `to_dict`. Raises KeyError, TypeError or AttributeError otherwise."""
        told = tuple(
            (str(name), cls.from_dict(value) if isinstance(value, Mapping) else value)
            for name, value in data["parameters"].items()
        )
        return cls(str(data["name"]), told)


@dataclass(frozen=True, repr=False)
class Verdict:
    """A checker's statement about one property, or several merged.

    name: the property; evidence: the operations that show it; parts: the verdicts merged into
    this one. For recomputing it later: rule, the checker; digest, of the history that was judged;
    tables, the observed and the declared one that were compared.
    """

    name: str
    outcome: Outcome
    explanation: str
    evidence: tuple[Operation, ...] = ()
    parts: tuple[Verdict, ...] = ()
    digest: str = ""
    rule: Rule | None = None
    tables: tuple[Table, Table] | None = None

    def __post_init__(self) -> None:
        if self.outcome is Outcome.SKIPPED:
            raise ValueError(f"{self.name}: a verdict is never skipped, only a test is")

    @property
    def holds(self) -> bool:
        """Whether the property holds. Raises Inconclusive where that is unknown."""
        if self.outcome is Outcome.UNKNOWN:
            raise Inconclusive(self.explain())
        return self.outcome is Outcome.HOLDS

    def __repr__(self) -> str:
        """Short, because pytest prints it below the explanation."""
        return f"<{self.name}: {self.outcome}>"

    def __bool__(self) -> bool:
        """Like `holds`: to tell "no verdict" from a broken one, use `is None`."""
        return self.holds

    def demand(self) -> None:
        """Raise Broken or Inconclusive unless the property holds: `assert` for other code."""
        if not self.holds:
            raise Broken(self.explain())

    def explain(self) -> str:
        """The verdict in words, with the operations that show it."""
        lines = [f"{self.name} {_SAID[self.outcome]}: {self.explanation}"]
        lines += [f"  {operation}" for operation in self.evidence[:_SHOWN]]
        if len(self.evidence) > _SHOWN:
            lines.append(f"  … and {len(self.evidence) - _SHOWN} more")
        for part in self.parts:
            lines += [f"  {line}" for line in part.explain().splitlines()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the input from which an offline check recomputes it, and the result.

        Raises TypeError where a compared table holds a value that a cell cannot hold.
        """
        data: dict[str, Any] = {
            "name": self.name,
            "outcome": str(self.outcome),
            "explanation": self.explanation,
            "history": self.digest,
        }
        if self.rule:
            data["checker"] = self.rule.to_dict()
        if self.tables:
            observed, declared = self.tables
            data |= {"observed": observed.to_list(), "declared": declared.to_list()}
        return data | ({"parts": [part.to_dict() for part in self.parts]} if self.parts else {})


Checker: TypeAlias = Callable[[History], Verdict]

_SAID = {
    Outcome.HOLDS: "holds",
    Outcome.BROKEN: "is broken",
    Outcome.UNKNOWN: "is unknown",
}


def control(condition: object, why: object) -> None:
    """Continue only if a precondition of the test is met: its control, its fault, its data.

    Raises Inconclusive with `why` otherwise: nothing is known of the property itself then.
    """
    if not condition:
        raise Inconclusive(f"the control does not hold: {why}")


def in_time(took: float, budget: float, what: str) -> None:
    """Continue only if something that took `took` seconds until now stayed within its budget.

    Raises Late (a Broken) otherwise: unknown on a machine that was starved meanwhile. For promises
    about time alone, after all others were judged.
    """
    if not took <= budget:
        now = time.monotonic()
        raise Late(f"{what}: {took:.1f} s, not within {budget:g} s", (now - took, now))


def holds(name: str, explanation: str) -> Verdict:
    return Verdict(name, Outcome.HOLDS, explanation)


def broken(name: str, explanation: str, *evidence: Operation) -> Verdict:
    return Verdict(name, Outcome.BROKEN, explanation, evidence)


def unknown(name: str, explanation: str, *evidence: Operation) -> Verdict:
    return Verdict(name, Outcome.UNKNOWN, explanation, evidence)


def of_property(word: str) -> Outcome:
    """The outcome of a property by its word. Raises ValueError for others, also for `skipped`."""
    outcome = Outcome(word)
    if outcome is Outcome.SKIPPED:
        raise ValueError(f"{word!r} is said of no property")
    return outcome


def worst(outcomes: Collection[Outcome]) -> Outcome:
    """Broken over unknown over holds; of none, unknown."""
    if not outcomes:
        return Outcome.UNKNOWN
    return next(
        outcome
        for outcome in (Outcome.BROKEN, Outcome.UNKNOWN, Outcome.HOLDS)
        if outcome in outcomes
    )


def merge(*verdicts: Verdict, name: str = "") -> Verdict:
    """One verdict of many: broken over unknown over holds; of none, unknown."""
    if not verdicts:
        return unknown(name or "nothing", "nothing was checked")
    if len(verdicts) == 1:
        return verdicts[0]
    outcomes = [verdict.outcome for verdict in verdicts]
    told = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    digests = {verdict.digest for verdict in verdicts}
    return Verdict(
        name or " and ".join(verdict.name for verdict in verdicts),
        worst(outcomes),
        told,
        parts=verdicts,
        digest=digests.pop() if len(digests) == 1 else "",
    )


def check(history: History, *checkers: Checker) -> Verdict:
    """The checkers' verdicts on the history, merged; a checker that raises counts as unknown."""
    return merge(*(_judged(history, checker) for checker in checkers))


def name_of(checker: Checker) -> str:
    """The name of the property that a checker judges."""
    return str(getattr(checker, "name", "") or getattr(checker, "__name__", repr(checker)))


def _judged(history: History, checker: Checker) -> Verdict:
    name = name_of(checker)
    try:
        verdict = checker(history)
    except Exception as error:  # noqa: BLE001 - a checker that fails proves nothing: unknown
        verdict = unknown(name, f"its checker failed: {type(error).__name__}: {error}")
    return dataclasses.replace(verdict, name=name, digest=history.digest, rule=Rule.of(checker))
