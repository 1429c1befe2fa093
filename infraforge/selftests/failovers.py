"""Generated histories of a failover that is sound, and anomalies planted into them.

Time is simulated: one step is a millisecond. Writers add to a set and write registers, readers read
these, all by a primary; the fault takes the primary away, answers get lost, another member of the
next timeline takes over. At the end each member's set is read.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from infraforge.checkers.origin import Origin
from infraforge.history import NEMESIS, WATCH, Call, History, Kind, Operation, Value

MS = 1_000_000
MEMBERS = ("pg-0", "pg-1", "pg-2")


@dataclass
class Cluster:
    """An atomic set and registers, with a primary that may be away. time: ms."""

    chance: random.Random
    time: int = 0
    primary: int | None = 0
    timeline: int = 1
    elements: list[int] = field(default_factory=list)
    registers: dict[str, tuple[int, str]] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    numbers: int = 0

    def log(
        self,
        process: str,
        kind: Kind,
        function: str,
        key: str | None = None,
        value: Value = None,
        *,
        by: Origin | None = None,
    ) -> None:
        self.time += 1
        told = by.to_value() if by else None
        self.operations.append(
            Operation(process, kind, function, key, value, self.time * MS, by=told)
        )

    @property
    def origin(self) -> Origin:
        return origin(MEMBERS[self.primary or 0], self.timeline)

    def step(self, clients: int) -> None:
        """As many clients do something side by side, and all end it, or get no answer."""
        begun = []
        for number in range(self.chance.randint(1, clients)):
            process = f"client-{number}"
            self.numbers += 1
            function = self.chance.choice(("add", "add", "write", "read"))
            key = "set" if function == "add" else self.chance.choice(("r-0", "r-1"))
            value: Value = {"add": self.numbers, "write": f"content {self.numbers}"}.get(function)
            self.log(process, Kind.INVOKE, function, key, value)
            begun.append((process, function, key, value))
        self.chance.shuffle(begun)
        for process, function, key, value in begun:
            lot = self.chance.random()
            if self.primary is None or lot < 0.1:
                happened = self.primary is not None and lot < 0.03
                if happened:
                    self.do(function, key, value)
                kind = Kind.INFO if happened or self.chance.random() < 0.5 else Kind.FAIL
                self.log(process, kind, function, key, value)
            else:
                self.log(
                    process, Kind.OK, function, key, self.do(function, key, value), by=self.origin
                )

    def do(self, function: str, key: str, value: Value) -> Value:
        if function == "add":
            assert isinstance(value, int)
            self.elements.append(value)
            return value
        if function == "write":
            assert isinstance(value, str)
            self.registers[key] = (self.registers.get(key, (0, ""))[0] + 1, value)
        return self.registers.get(key)


def origin(member: str, timeline: int, role: str = "primary") -> Origin:
    return Origin(member, f"10.0.0.{MEMBERS.index(member)}:5432", timeline, role, "77")


def sound(seed: int, *, steps: int = 12, failovers: int = 1, clients: int = 4) -> History:
    """Nothing is lost, seen too early or twice, and there is one primary at a time."""
    cluster = Cluster(random.Random(seed))  # noqa: S311 - no secret
    cluster.log(f"{WATCH}role", Kind.INVOKE, "role", "pg-0")
    cluster.log(f"{WATCH}role", Kind.OK, "role", "pg-0", ("primary", 1))
    for _ in range(18):  # a rhythm, and something of each kind
        cluster.step(clients)
    for _ in range(failovers):
        cluster.log(NEMESIS, Kind.INVOKE, "kill", None, cluster.origin.member)
        former = cluster.primary or 0
        cluster.primary = None
        cluster.log(NEMESIS, Kind.OK, "kill", None, "gone")
        for _ in range(cluster.chance.randint(1, 5)):
            cluster.step(clients)
        cluster.primary = (former + cluster.chance.choice((1, 2))) % 3
        cluster.timeline += 1
        for _ in range(steps):
            cluster.step(clients)
    for name in MEMBERS:
        role = "primary" if name == cluster.origin.member else "standby"
        by = origin(name, cluster.timeline, role)
        cluster.log(f"final-{name}", Kind.INVOKE, "read", "set")
        cluster.log(f"final-{name}", Kind.OK, "read", "set", tuple(cluster.elements), by=by)
    return History(tuple(cluster.operations))


Plant = Callable[[History, random.Random], History]


def a_lost_write(seen: History, chance: random.Random) -> History:
    """One final read, or all, lack an element that was acknowledged."""
    lost = chance.choice([call for call in seen.of("add") if call.ok]).value
    finals = _finals(seen)
    for read in chance.choice((finals, finals[:1], finals[-1:])):
        there = tuple(element for element in _elements(read) if element != lost)
        seen = _answering(seen, read, value=there)
    return seen


def a_phantom(seen: History, chance: random.Random) -> History:
    """A read finds an element of a failed add, or of none."""
    read = chance.choice(_finals(seen))
    failed = [call.value for call in seen.of("add") if call.outcome is Kind.FAIL]
    return _answering(seen, read, value=(*_elements(read), chance.choice([*failed, 10**9])))


def a_read_from_the_future(seen: History, chance: random.Random) -> History:
    """A read while adding goes on finds an element whose add has yet to begin."""
    coming = chance.choice([call for call in seen.of("add") if call.start > len(seen) // 2])
    at = chance.randrange(1, coming.start)
    time = seen.operations[at].time
    made = Operation("early", Kind.INVOKE, "read", "set", None, time)
    answer = dataclasses.replace(made, kind=Kind.OK, value=(coming.invoke.value,))
    return History((*seen.operations[:at], made, answer, *seen.operations[at:]))


def two_primaries(seen: History, chance: random.Random) -> History:
    """Another member answers as primary of a timeline that has one."""
    call = chance.choice([call for call in seen.of("add", "write") if call.ok])
    by = Origin.of(call.by)
    assert by
    other = chance.choice([name for name in MEMBERS if name != by.member])
    return _answering(seen, call, by=origin(other, by.timeline).to_value())


def a_read_of_a_former_primary(seen: History, chance: random.Random) -> History:
    """The member that led first answers as before, after another one has acknowledged."""
    new = [
        call for call in seen.clients if call.ok and (by := Origin.of(call.by)) and by.timeline > 1
    ]
    last = seen.operations[-1].time
    made = dataclasses.replace(
        chance.choice(new).invoke, process="late", function="read", key="r-0", value=None
    )
    old = [call for call in seen.of("read") if call.ok and call.key == "r-0"]
    value = old[0].value if old else None
    read = (
        dataclasses.replace(made, time=last + MS),
        dataclasses.replace(
            made, kind=Kind.OK, time=last + 2 * MS, value=value, by=origin("pg-0", 1).to_value()
        ),
    )
    return History((*seen.operations, *read))


def a_read_back_in_time(seen: History, chance: random.Random) -> History:
    """The new primary brings a register's version from before one that it acknowledged."""
    write = chance.choice([call for call in seen.of("write") if call.ok])
    assert isinstance(write.value, tuple)
    assert isinstance(write.value[0], int)
    last = seen.operations[-1].time
    by = Origin.of(_finals(seen)[0].by)
    assert by
    made = Operation("back", Kind.INVOKE, "read", write.key, None, last + MS)
    answer = dataclasses.replace(
        made,
        kind=Kind.OK,
        time=last + 2 * MS,
        value=_before(seen, write),
        by=origin(_leader(seen), by.timeline).to_value(),
    )
    return History((*seen.operations, made, answer))


def _before(seen: History, write: Call) -> Value:
    """The version before this one, with its content where a client knows it; null of the first."""
    assert isinstance(write.value, tuple)
    known = {
        call.value[0]: call.value
        for call in seen.of("write", "read")
        if call.ok and call.key == write.key and isinstance(call.value, tuple)
    }
    older = [version for version in known if version < write.value[0]]  # type: ignore[operator]
    return known[max(older)] if older else None


def _leader(seen: History) -> str:
    (leader,) = (
        by.member for read in _finals(seen) if (by := Origin.of(read.by)) and by.role == "primary"
    )
    return leader


def _finals(seen: History) -> list[Call]:
    return [call for call in seen.of("read") if call.key == "set"]


def _elements(read: Call) -> tuple[Value, ...]:
    assert isinstance(read.value, tuple)
    return read.value


def _answering(seen: History, call: Call, **changes: Value) -> History:
    """The history in which the call was answered otherwise."""
    assert call.end is not None
    operations = list(seen.operations)
    operations[call.end] = dataclasses.replace(operations[call.end], **changes)  # type: ignore[arg-type]
    return History(tuple(operations))
