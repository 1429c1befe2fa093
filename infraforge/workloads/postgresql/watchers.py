"""What the members say of themselves while clients work, for `checkers.recovery` and the picture.

with Watchers(members) as watchers:
    ...
history = load.history + watchers.history + event("elected", low, high, "pg-1")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from infraforge.checkers.outages import STARVED
from infraforge.history import WATCH, History, Kind, Operation, Value
from infraforge.recorder import Recorder
from infraforge.workloads.crew import Crew
from infraforge.workloads.postgresql.answers import Failed, Unsure
from infraforge.workloads.postgresql.members import Member, Members

_TIMEOUT = 1.0


class Watchers(Crew):
    """One thread for each member's role, one for where a new connection for writing ends.

    every: seconds between two looks. A look that brings nothing is recorded as a failed one.
    """

    def __init__(self, members: Members, every: float = 0.05) -> None:
        self._members = members
        self._recorder = Recorder()
        tasks: dict[str, Callable[[], None]] = {
            f"{WATCH}role-{member.short}": self._role(member) for member in members.members
        }
        tasks[f"{WATCH}route"] = self._route
        super().__init__(tasks, pause=lambda: every)

    @property
    def history(self) -> History:
        """What was seen so far."""
        return self._recorder.history

    def _role(self, member: Member) -> Callable[[], None]:
        session = self._members.only(member.name).session("any", _TIMEOUT)
        process = f"{WATCH}role-{member.short}"

        def look() -> None:
            with self._recorder.call(process, "role", member.short, fail=(Failed, Unsure)) as call:
                _, origin = session.ask("SELECT")
                call.ok((origin.role, origin.timeline))

        return look

    def _route(self) -> None:
        with (
            self._recorder.call(f"{WATCH}route", "route", fail=(Failed, Unsure)) as call,
            self._members.session("read-write", _TIMEOUT) as session,
        ):
            call.ok(session.connect())


def event(name: str, since: int, until: int, value: Value = None) -> History:
    """Something that happened at a time that is known from elsewhere, as a log.

    name: one of `checkers.recovery.EVENTS`; since, until: ns of the histories' monotonic clock,
    between which it happened.
    """
    made = functools.partial(Operation, f"{WATCH}{name}", function=name, key=None, value=value)
    return History((made(kind=Kind.INVOKE, time=since), made(kind=Kind.OK, time=until)))


def machine(since: int, until: int, words: Sequence[str]) -> History:
    """How the machine was: the bounds that it passed between, in words; none where it was well.

    since, until: ns of the histories' monotonic clock. `starvation.Figures.starved` has the words.
    """
    value: Value = (since, until, *words)
    made = functools.partial(
        Operation, f"{WATCH}machine", function=STARVED, key=None, value=value, time=until
    )
    return History((made(kind=Kind.INVOKE), made(kind=Kind.OK)))
