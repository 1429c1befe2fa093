"""No phantom: nothing is in a set that nobody could have put there by then.

Of the sets of `acknowledged`, every read is judged, also those made while adding goes on: each
element was asked for by an add that began before the read was over and did not surely fail. An
element that shows before its add was invoked is from the future; one of a failed add is Adya's
aborted read (G1a).
"""

from __future__ import annotations

from infraforge.history import Call, History, Kind, Value
from infraforge.verdict import Verdict, broken, holds, unknown

NAME = "no_phantom"


def no_phantom(history: History) -> Verdict:
    """Every element that any read of a set found may have been added by then.

    Unknown where no read of a set that anybody added to found anything.
    """
    begun: dict[tuple[str | None, Value], Call] = {}
    failed: dict[tuple[str | None, Value], Call] = {}
    for call in history.of("add"):
        known = failed if call.outcome is Kind.FAIL else begun
        known.setdefault((call.key, call.value), call)
    keys = {key for key, _ in (*begun, *failed)}
    looked = found = 0
    for read in history.of("read"):
        if not read.ok or read.key not in keys:
            continue
        if not isinstance(read.value, tuple):
            raise TypeError(f"a read of a set brings a list, not {read.value!r}")
        looked += 1
        for element in read.value:
            found += 1
            add = begun.get((read.key, element))
            if add is not None and (read.end is None or add.start < read.end):
                continue
            return _phantom(read, element, add or failed.get((read.key, element)))
    if not found:
        return unknown(NAME, f"{looked} reads of a set found nothing")
    return holds(NAME, f"{found} elements in {looked} reads may all have been there")


def _phantom(read: Call, element: Value, add: Call | None) -> Verdict:
    if add is None:
        return broken(
            NAME, f"{read.process} read {element!r}, which nobody added", *read.operations
        )
    why = "its add failed" if add.outcome is Kind.FAIL else "its add had not begun"
    told = f"{read.process} read {element!r}, though {why}"
    return broken(NAME, told, *add.operations, *read.operations)
