"""Tables: compared, and reported, cell by cell."""

from __future__ import annotations

import pytest

from infraforge.checkers import cells_match
from infraforge.table import Table
from infraforge.verdict import Outcome

DECLARED = Table({("backend", "postgres"): True, ("frontend", "postgres"): False})


def test_tables_ignore_order_and_are_immutable() -> None:
    cells = {("frontend", "postgres"): False, ("backend", "postgres"): True}
    turned = Table(cells)
    cells.clear()
    assert turned == DECLARED
    assert hash(turned) == hash(DECLARED)
    assert turned != dict(turned)
    with pytest.raises(TypeError):
        turned.cells["a", "b"] = True  # type: ignore[index]


def test_the_difference_is_shown_cell_by_cell() -> None:
    observed = Table({("frontend", "postgres"): True, ("login", "vault"): True})
    assert observed.diff(DECLARED).splitlines() == [
        "3 of 2 cells differ from what is expected:",
        "  backend → postgres: absent, not yes",
        "  frontend → postgres: yes, not no",
        "  login → vault: yes, not absent",
    ]
    assert DECLARED.diff(DECLARED) == ""


def test_it_reads_as_text_and_as_markdown() -> None:
    table = Table({("ada", "GET"): "admin|all", ("vera", "PUT"): None})
    assert table.text().splitlines() == [
        "      GET        PUT",
        "ada   admin|all",
        "vera             unknown",
    ]
    assert table.markdown().splitlines() == [
        "|  | GET | PUT |",
        "| --- | --- | --- |",
        "| ada | admin\\|all |  |",
        "| vera |  | unknown |",
    ]


@pytest.mark.parametrize(
    ("cells", "outcome"),
    [
        (dict(DECLARED), Outcome.HOLDS),
        ({**DECLARED, ("frontend", "postgres"): None}, Outcome.UNKNOWN),
        ({("backend", "postgres"): True}, Outcome.UNKNOWN),
        ({**DECLARED, ("frontend", "postgres"): True}, Outcome.BROKEN),
        ({("backend", "postgres"): None, ("frontend", "postgres"): True}, Outcome.BROKEN),
        ({**DECLARED, ("login", "vault"): True}, Outcome.BROKEN),
        ({**DECLARED, ("login", "vault"): None}, Outcome.BROKEN),
    ],
)
def test_what_could_not_be_observed_is_unknown(cells: dict, outcome: Outcome) -> None:
    assert cells_match(Table(cells), DECLARED).outcome is outcome


def test_nothing_declared_proves_nothing() -> None:
    assert cells_match(Table({}), Table({})).outcome is Outcome.UNKNOWN


def test_a_control_that_differs_leaves_the_table_unknown() -> None:
    """It accuses nobody; a cell that is a claim and differs is broken all the same."""
    cells = {("ingress", "backend"): "open", ("stranger", "backend"): "blocked"}
    shut, leaks = dict(cells), dict(cells)
    shut["ingress", "backend"] = "blocked"
    leaks["stranger", "backend"] = "open"
    control = [("ingress", "backend")]
    for observed, outcome in (
        (cells, Outcome.HOLDS),
        (shut, Outcome.UNKNOWN),
        (leaks, Outcome.BROKEN),
        (shut | leaks, Outcome.BROKEN),
        ({("stranger", "backend"): "blocked"}, Outcome.UNKNOWN),
    ):
        assert cells_match(Table(observed), Table(cells), controls=control).outcome is outcome
    misnamed = cells_match(Table(cells), Table(cells), controls=[("nobody", "backend")])
    assert misnamed.outcome is Outcome.UNKNOWN
