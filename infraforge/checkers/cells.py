"""A table is as declared: cyclonus' idea, the verdict is the diff of two tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection

from infraforge.table import Table
from infraforge.verdict import Rule, Verdict, broken, holds, unknown


def cells_match(
    observed: Table,
    declared: Table,
    name: str = "cells_match",
    *,
    controls: Collection[tuple[str, str]] = (),
) -> Verdict:
    """Every declared cell was observed with the declared value, and no other cell was seen.

    A cell observed as None, or not at all, is unknown; so is a comparison with nothing. controls:
    cells that are no claim, but show that the others could have been otherwise: where one of them
    differs, and no other cell, the table is unknown.
    """
    kept: tuple[tuple[str, str], ...] = (("name", name),)
    if controls:
        kept = (*kept, ("controls", json.dumps(sorted(controls), ensure_ascii=False)))
    verdict = _compared(observed, declared, name, controls)
    rule = Rule(cells_match.__name__, kept)
    return dataclasses.replace(verdict, rule=rule, tables=(observed, declared))


def again(observed: Table, declared: Table, *, name: str, controls: str = "[]") -> Verdict:
    """`cells_match` from what its rule keeps. Raises TypeError where that does not fit."""
    try:
        pairs = [(str(row), str(column)) for row, column in json.loads(controls)]
    except ValueError as error:
        raise TypeError(f"{controls[:100]!r} names no cells") from error
    return cells_match(observed, declared, name, controls=pairs)


def _compared(
    observed: Table, declared: Table, name: str, controls: Collection[tuple[str, str]]
) -> Verdict:
    different = observed.differing(declared)
    unseen = [
        place
        for place in different
        if place in controls or (observed.get(place) is None and place in declared)
    ]
    if missing := [place for place in controls if place not in declared]:
        return unknown(name, f"controls that are not in the table: {missing}")
    if len(different) > len(unseen):
        return broken(name, observed.diff(declared))
    if unseen:
        return unknown(name, observed.diff(declared))
    if not declared:
        return unknown(name, "nothing was declared")
    return holds(name, f"all {len(declared)} cells are as declared")
