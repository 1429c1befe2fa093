"""What the tests' outcomes under a sabotage say of the tests. Pure.

Caught means: exactly the named tests are red. A named one that stays green, or another one that
turns red, and it is not; an unknown counts as neither, so nothing can be said then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infraforge import outcome
from infraforge.outcome import Tally
from infraforge.table import Cell, Table
from infraforge.verdict import Outcome

_CAUGHT = {Outcome.HOLDS: "yes", Outcome.BROKEN: "NO", Outcome.UNKNOWN: "unknown"}


@dataclass(frozen=True)
class Judgement:
    """Whether a sabotage was caught: HOLDS yes, BROKEN no, or UNKNOWN; why: "" for a plain yes.

    named: how many tests were to turn red; as_named: those of them that did; not_named: others
    that did; unknown: those that said nothing; beside: how many other sabotages were rolled out
    with it.
    """

    outcome: Outcome
    why: str
    named: int
    as_named: tuple[str, ...] = ()
    not_named: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    seconds: float = 0.0
    beside: int = 0


def judge(
    named: Sequence[str], outcomes: Mapping[str, Outcome], required: Sequence[str] = ()
) -> Judgement:
    """The judgement on a run of all tests.

    named: tests that must be red, without parameters; required: tests that must have run.
    """
    red, unknown = outcome.red(outcomes), outcome.unknown(outcomes)
    not_run = Tally(dict(outcomes)).missing([*named, *required])
    silent = {node.split("[")[0] for node in not_run}
    unknown |= silent
    green = [name for name in named if name not in red | unknown]
    others = red - set(named)
    if green:
        verdict, why = Outcome.BROKEN, f"not noticed by {_short(green)}"
    elif others:
        verdict, why = Outcome.BROKEN, "more is red than named"
    elif unknown:
        verdict = Outcome.UNKNOWN
        why = f"did not run: {_short(silent)}" if silent else "some tests say nothing"
    else:
        verdict, why = Outcome.HOLDS, ""
    return Judgement(
        verdict,
        why,
        len(named),
        tuple(name for name in named if name in red),
        tuple(sorted(others)),
        tuple(sorted(unknown)),
    )


def of_member(red: Sequence[str], group: Judgement, members: int) -> Judgement:
    """One member's judgement from that of a group that was caught: its own tests, its own share."""
    return Judgement(
        Outcome.HOLDS,
        "",
        named=len(red),
        as_named=tuple(red),
        seconds=group.seconds / members,
        beside=members - 1,
    )


def of_a_part(found: Judgement) -> Judgement:
    """The same, where only a part of the tests ran: another one may be red, so it is not caught."""
    if found.outcome is not Outcome.HOLDS:
        return found
    why = "red as named; the other tests did not run"
    return dataclasses.replace(found, outcome=Outcome.UNKNOWN, why=why)


def failed(named: Sequence[str], why: str) -> Judgement:
    """Nothing can be said: it could not be injected, or the run did not come to an end."""
    return Judgement(Outcome.UNKNOWN, why, len(named))


def exit_code(judgements: Sequence[Judgement]) -> int:
    """Of several: not caught beats unknown beats caught; of none, unknown."""
    found = {judgement.outcome for judgement in judgements}
    if Outcome.BROKEN in found:
        return 1
    return 0 if found == {Outcome.HOLDS} else 2


def table(judgements: Mapping[str, Judgement]) -> Table:
    """A row for each sabotage."""
    cells: dict[tuple[str, str], Cell] = {}
    for name, one in judgements.items():
        caught = _CAUGHT[one.outcome]
        cells[name, "caught?"] = f"{caught}: {one.why}" if one.why else caught
        cells[name, "red as named"] = f"{len(one.as_named)} of {one.named}"
        cells[name, "red but not named"] = _short(one.not_named) or "-"
        cells[name, "unknown"] = _short(one.unknown) or "-"
        cells[name, "together with"] = f"{one.beside} others" if one.beside else "-"
        cells[name, "seconds"] = round(one.seconds)
    return Table(cells)


def _short(nodes: Sequence[str] | set[str]) -> str:
    """The tests' names alone."""
    return ", ".join(sorted(node.split("::")[-1] for node in nodes))
