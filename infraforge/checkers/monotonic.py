"""Monotonic reads: a client that saw a version never sees an older one afterwards.

A session guarantee (Terry et al., "Session Guarantees for Weakly Consistent Replicated Data",
1994), weaker than linearizability: what one client saw binds that client alone. The history is
that of `stale`: reads bring `[version, content]`, or null for absent.
"""

from __future__ import annotations

from infraforge.history import Call, History
from infraforge.verdict import Verdict, broken, holds, unknown

NAME = "reads_are_monotonic"


def reads_are_monotonic(history: History) -> Verdict:
    """In each client's reads of a key, versions never fall. Absent is not ordered, and passed over.

    Unknown where no client read a key twice.
    """
    sets = {call.key for call in history.of("add")}
    last: dict[tuple[str, str | None], Call] = {}
    compared = 0
    for read in history.of("read"):
        if not read.ok or not isinstance(read.value, tuple) or read.key in sets:
            continue
        place = read.process, read.key
        earlier = last.get(place)
        if earlier is not None:
            compared += 1
            if _version(read) < _version(earlier):
                return broken(
                    NAME,
                    f"{read.process} read version {_version(earlier)} and then {_version(read)}",
                    *earlier.operations,
                    *read.operations,
                )
        last[place] = read
    if not compared:
        return unknown(NAME, "no client read a key twice")
    return holds(NAME, f"{compared} reads each found what their client had seen, or newer")


def _version(read: Call) -> int:
    if not isinstance(read.value, tuple) or not isinstance(read.value[0], int):
        raise TypeError(f"a read brings [version, content], not {read.value!r}")
    return read.value[0]
