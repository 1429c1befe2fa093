"""Recompute a kept verdict from the history or tables that were kept with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infraforge import checkers, verdict
from infraforge.history import History
from infraforge.table import Table
from infraforge.verdict import Outcome, Rule, Verdict


class CannotBeMadeAgain(Exception):
    """Something that the verdict rests on was not kept; says what."""


@dataclass(frozen=True)
class Judged:
    """A kept verdict beside its checker's present one.

    again: None where it cannot be recomputed, for the reason in `lacks`.
    """

    test: str
    name: str
    kept: Outcome
    explained: str
    again: Verdict | None
    lacks: str = ""

    @property
    def differs(self) -> bool:
        return self.again is not None and self.again.outcome is not self.kept

    @property
    def differs_in_words(self) -> bool:
        return self.again is not None and self.again.explanation != self.explained


def judge(test: str, kept: Mapping[str, Any], histories: Mapping[str, bytes]) -> Judged:
    """Recompute the verdict `kept` (in the form of `Verdict.to_dict`).

    histories: SHA-256 → the kept history. Raises KeyError, TypeError or ValueError where `kept` is
    not a verdict.
    """
    name, outcome, told = (
        str(kept["name"]),
        verdict.of_property(kept["outcome"]),
        str(kept["explanation"]),
    )
    try:
        return Judged(test, name, outcome, told, _again(kept, histories))
    except CannotBeMadeAgain as error:
        return Judged(test, name, outcome, told, None, str(error))


def _again(kept: Mapping[str, Any], histories: Mapping[str, bytes]) -> Verdict:
    if "lacks" in kept:
        raise CannotBeMadeAgain(str(kept["lacks"]))
    if "checker" not in kept:
        if not kept.get("parts"):
            raise CannotBeMadeAgain("it names no checker")
        parts = [_again(part, histories) for part in kept["parts"]]
        return verdict.merge(*parts, name=str(kept["name"]))
    rule = Rule.from_dict(kept["checker"])
    history, tables = None, None
    if "observed" in kept:
        tables = Table.from_list(kept["observed"]), Table.from_list(kept["declared"])
    elif kept["history"] in histories:
        history = History.from_lines(histories[kept["history"]].decode())
    else:
        raise CannotBeMadeAgain("its history was not kept")
    try:
        return checkers.again(rule, history, tables)
    except KeyError as error:
        raise CannotBeMadeAgain(f"its checker is the test's own: {rule.name}") from error
