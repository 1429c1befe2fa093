"""Who answered a call: the member, as what, and of which timeline. A value in `Operation.by`.

PostgreSQL's timeline is a number that each promotion raises, so it tells one reign from the next
(https://www.postgresql.org/docs/17/continuous-archiving.html#BACKUP-TIMELINES).
"""

from __future__ import annotations

from dataclasses import dataclass

from infraforge.history import Value

PRIMARY, STANDBY = "primary", "standby"


@dataclass(frozen=True)
class Origin:
    """member: what the client calls it; address: what it calls itself; role: `PRIMARY` or `STANDBY`
    when it answered; system: the database system's identifier, chosen by initdb.
    """

    member: str
    address: str
    timeline: int
    role: str
    system: str

    def to_value(self) -> Value:
        """As a history holds it: `[member, address, timeline, role, system]`."""
        return (self.member, self.address, self.timeline, self.role, self.system)

    @classmethod
    def of(cls, by: Value) -> Origin | None:
        """None where nothing is known. Raises TypeError for what `to_value` did not make."""
        if by is None:
            return None
        if not isinstance(by, tuple) or len(by) != 5:
            raise TypeError(f"an origin is [member, address, timeline, role, system], not {by!r}")
        member, address, timeline, role, system = by
        if not isinstance(timeline, int) or isinstance(timeline, bool):
            raise TypeError(f"a timeline is a whole number, not {timeline!r}")
        if role not in (PRIMARY, STANDBY):
            raise TypeError(f"a role is {PRIMARY} or {STANDBY}, not {role!r}")
        return cls(str(member), str(address), timeline, str(role), str(system))
