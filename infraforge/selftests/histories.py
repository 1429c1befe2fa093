"""A notation for histories in selftests: one operation a line, whose position is its time.

    a invoke write x "one"
    a ok     write x [1,"one"]

process, kind, function, key (`-` for none), value in JSON (none: null).
"""

from __future__ import annotations

import json

from infraforge.history import History, Kind, Operation


def history(text: str) -> History:
    lines = [line for line in text.splitlines() if line.strip()]
    return History(tuple(_operation(line, at) for at, line in enumerate(lines)))


def _operation(line: str, at: int) -> Operation:
    process, kind, function, *rest = line.split(None, 4)
    key = rest[0] if rest and rest[0] != "-" else None
    value = json.loads(rest[1]) if len(rest) > 1 else None
    return Operation(process, Kind(kind), function, key, value, at * 1_000_000)
