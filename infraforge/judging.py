"""Judge what a test observed against what is declared, and keep both as evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from infraforge.checkers.cells import cells_match
from infraforge.evidence import Evidence
from infraforge.table import Cell, Table

Cells = Table | Mapping[tuple[str, str], Cell]


def judge(
    observed: Cells,
    declared: Cells,
    evidence: Evidence,
    controls: Collection[tuple[str, str]] = (),
) -> None:
    """Compare two tables cell by cell and attach the observed one with the verdict.

    controls: cells that must be as declared, or nothing is known of the others. Raises Broken with
    the difference, Inconclusive where nothing can be said.
    """
    seen, wanted = _table(observed), _table(declared)
    verdict = cells_match(seen, wanted, controls=controls)
    evidence.attach(seen, verdict)
    verdict.demand()


def _table(cells: Cells) -> Table:
    return cells if isinstance(cells, Table) else Table(cells)
