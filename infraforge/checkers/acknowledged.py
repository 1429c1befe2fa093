"""Acknowledged writes are kept: Jepsen's set checker.

Clients `add` elements, each its own, to a set (the key, where there is more than one). When all
adding is over the whole set is read (`read`, its value the elements), from every member that is to
have it. Of an element:

    lost        acknowledged, and missing from a final read           broken
    unexpected  in a final read, though added by none, or by a call
                that surely failed (Adya's aborted read, G1a)         broken
    duplicate   in one read more often than it may have been added    broken
    recovered   not acknowledged, yet there: unknown says just that   fine
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from infraforge.history import Call, History, Kind, Operation, Value
from infraforge.verdict import Verdict, broken, holds, merge, unknown

NAME = "acknowledged_writes_kept"


def acknowledged_writes_kept(history: History) -> Verdict:
    """Every acknowledged element is in every final read, and nothing that should not be.

    A final read began after the last operation on its set's elements. Unknown without one, and
    where nothing was acknowledged.
    """
    found = _sets(history).items()
    return merge(*(_judged(key, adds, reads) for key, (adds, reads) in found), name=NAME)


def lost(history: History) -> int | None:
    """Acknowledged elements that are missing from a final read: what was lost, as a count.

    None where that is not known: no set was both added to and read to the end.
    """
    missing: set[tuple[str | None, Value]] = set()
    looked = False
    for key, (adds, reads) in _sets(history).items():
        for read in _final(adds, reads):
            looked = True
            there = set(_elements(read))
            missing |= {(key, call.value) for call in adds if call.ok and call.value not in there}
    return len(missing) if looked else None


def _sets(history: History) -> dict[str | None, tuple[list[Call], list[Call]]]:
    """The adds and reads of each set."""
    calls: dict[str | None, tuple[list[Call], list[Call]]] = {}
    for call in history.of("add", "read"):
        adds, reads = calls.setdefault(call.key, ([], []))
        (adds if call.function == "add" else reads).append(call)
    for call in history.of("write", "delete"):  # a register, which `stale` judges
        calls.pop(call.key, None)
    return calls


def _final(adds: list[Call], reads: list[Call]) -> list[Call]:
    """Reads that began after the last add was over; none where nothing was added."""
    over = max((_last_position(call) for call in adds), default=math.inf)
    return [call for call in reads if call.ok and call.start > over]


def _judged(key: str | None, adds: list[Call], reads: list[Call]) -> Verdict:
    name = NAME if key is None else f"{NAME} of {key}"
    acknowledged = {call.value: call for call in adds if call.ok}
    if not acknowledged:
        return unknown(name, "no add was acknowledged: there is nothing to keep")
    final = _final(adds, reads)
    if not final:
        return unknown(name, "the set was not read after the last add")
    possible = Counter(call.value for call in adds if call.outcome is not Kind.FAIL)
    wrong: list[str] = []
    evidence: dict[Operation, None] = {}
    seen: set[Value] = set()
    for read in final:
        found = Counter(_elements(read))
        seen |= set(found)
        lost = [element for element in acknowledged if element not in found]
        unexpected = [element for element in found if element not in possible]
        duplicate = [element for element in found if 1 <= possible[element] < found[element]]
        for said, elements in (
            ("lost", lost),
            ("unexpected", unexpected),
            ("duplicate", duplicate),
        ):
            if elements:
                wrong.append(f"{read.process}: {len(elements)} {said}: {_some(elements)}")
                named = set(elements)
                suspects = [call for call in adds if call.value in named]
                involved = [op for call in suspects for op in call.operations]
                evidence |= dict.fromkeys(involved)
                evidence |= dict.fromkeys((read.invoke,))
    if wrong:
        return broken(name, "; ".join(wrong), *evidence)
    recovered = (seen & set(possible)) - set(acknowledged)
    return holds(
        name,
        f"{len(acknowledged)} acknowledged elements are in each of {len(final)} final reads; "
        f"{len(recovered)} recovered",
    )


def _last_position(call: Call) -> int:
    """An add without an answer may yet take effect; it only has to have begun before the read."""
    return call.start if call.end is None else call.end


def _elements(read: Call) -> tuple[Value, ...]:
    if not isinstance(read.value, tuple):
        raise TypeError(f"a read of a set brings a list, not {read.value!r}")
    return read.value


def _some(elements: Iterable[Value]) -> str:
    shown = [str(element) for element in elements]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
