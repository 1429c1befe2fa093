"""Judging tables: a difference says broken, a missing control says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from infraforge.components.passwords import passwords_of
from infraforge.errors import Broken, Inconclusive
from infraforge.judging import judge
from infraforge.outcome import of_failure
from infraforge.table import Table
from infraforge.verdict import Outcome, Verdict

DECLARED = {("stranger", "GET /"): 401, ("user", "GET /"): 200}


class Kept:
    def __init__(self) -> None:
        self.values: list[object] = []

    def attach(self, *values: object) -> None:
        self.values += values


def test_what_is_as_declared_passes_and_is_kept() -> None:
    kept: Any = Kept()
    judge(DECLARED, Table(DECLARED), kept)
    table, verdict = kept.values
    assert table == Table(DECLARED)
    assert isinstance(verdict, Verdict)
    assert verdict.holds


def test_a_difference_is_broken_though_the_harness_raises_it() -> None:
    kept: Any = Kept()
    with pytest.raises(Broken, match="200") as raised:
        judge({**DECLARED, ("stranger", "GET /"): 200}, DECLARED, kept)
    assert of_failure(raised.value, "call", own=False) is Outcome.BROKEN
    assert kept.values


def test_a_control_that_differs_says_nothing_of_the_rest() -> None:
    kept: Any = Kept()
    with pytest.raises(Inconclusive):
        judge({**DECLARED, ("user", "GET /"): 503}, DECLARED, kept, controls=[("user", "GET /")])


def test_a_user_that_came_later_gets_a_password_and_the_others_keep_theirs() -> None:
    class Site:
        known: dict[str, str]

        def secret(self, _name: str, _namespace: str, make: Any) -> dict[str, str]:
            self.known = getattr(self, "known", None) or make()
            return self.known

        def write_secret(self, _name: str, _namespace: str, data: dict[str, str]) -> None:
            self.known = data

    site: Any = Site()
    first = passwords_of(site, "nats", "infraforge-data", ["a"])
    both = passwords_of(site, "nats", "infraforge-data", ["a", "b"])
    assert both["a"] == first["a"] != both["b"] == site.known["b"]
