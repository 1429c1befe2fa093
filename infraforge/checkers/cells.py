"""A table is as declared: cyclonus' idea, the verdict is the diff of two tables."""

from __future__ import annotations

import dataclasses

from infraforge.table import Table
from infraforge.verdict import Rule, Verdict, broken, holds, unknown


def cells_match(observed: Table, declared: Table, name: str = "cells_match") -> Verdict:
    """Every declared cell was observed with the declared value, and no other cell was seen.

    A cell observed as None, or not at all, is unknown; so is a comparison with nothing.
    """
    rule = Rule(cells_match.__name__, (("name", name),))
    return dataclasses.replace(
        _compared(observed, declared, name), rule=rule, tables=(observed, declared)
    )


def _compared(observed: Table, declared: Table, name: str) -> Verdict:
    different = observed.differing(declared)
    unseen = [place for place in different if observed.get(place) is None and place in declared]
    if len(different) > len(unseen):
        return broken(name, observed.diff(declared))
    if unseen:
        return unknown(name, observed.diff(declared))
    if not declared:
        return unknown(name, "nothing was declared")
    return holds(name, f"all {len(declared)} cells are as declared")
