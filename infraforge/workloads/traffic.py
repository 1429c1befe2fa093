"""All that people do at the front door, each thing over and over, while something else happens.

    with traffic.Traffic(front_door, devon, developer, project) as people:
        people.until(times=5)
        ...
    verdict = check(people.history, no_request_failed)

Some keep their session and their connections; others come anew each time, sign in, keep a file, and
go. Every call is in one history.
"""

from __future__ import annotations

import contextlib
from typing import Any

from infraforge.errors import Broken
from infraforge.history import History, Kind
from infraforge.recorder import Recorder
from infraforge.wait import seconds, wait_until
from infraforge.workloads import journey, register, steady
from infraforge.workloads.backend_client import BackendClient, Project
from infraforge.workloads.crew import Crew
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import Person

_PACE = seconds(0.5)


class Journeys(Crew):
    """One thread that goes the whole way, from the sign-in to the sign-out, over and over."""

    def __init__(self, front_door: FrontDoor, person: Person) -> None:
        self._front_door = front_door
        self._person = person
        self._recorder = Recorder()
        super().__init__({"traveller": self._go}, pause=lambda: _PACE)

    @property
    def history(self) -> History:
        """What was done so far."""
        return self._recorder.history

    def until(self, *, journeys: int, within: float) -> None:
        """Go on until so many more came to their end, well or not; one under way counts."""
        start = len(self.history)

        def enough() -> bool:
            self.complain()
            ended = self.history.operations[start:]
            return sum(operation.kind is not Kind.INVOKE for operation in ended) >= journeys

        wait_until(enough, within, every=0.1, what=f"{journeys} more journeys")

    def _go(self) -> None:
        with self._recorder.call(
            "traveller", "journey", fail=(Broken,), info=journey.NOT_YET
        ) as call:
            if journey.whole_way(self._front_door, self._person):
                call.ok()
            else:
                call.fail("what was read is not what was written")


class Traffic:
    """Readers, writers, lookers and travellers at once.

    person: who signs in anew each time; developer: whose session the others share; project: theirs.
    """

    def __init__(
        self, front_door: FrontDoor, person: Person, developer: BackendClient, project: Project
    ) -> None:
        visitor = front_door.anonymous()
        visitor.cookies.update(developer.session.cookies)
        asked = {
            "dashboard": "/",
            "who am I": "/api/me",
            "files": f"/api/projects/{project.id}/files",
            "health": "/api/health",
        }
        self._users = steady.Users(visitor, asked)
        self._load = register.Load(developer, [project.id], readers=2, writers=1)
        self._journeys = Journeys(front_door, person)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Traffic:
        for workload in (self._users, self._load, self._journeys):
            self._stack.enter_context(workload)
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    @property
    def history(self) -> History:
        """What everybody did so far."""
        return self._users.history + self._load.history + self._journeys.history

    def until(self, *, times: int, within: float = 120.0) -> None:
        """Go on until each thing was done so many times more."""
        self._users.until(answers=times, within=within)
        self._load.until(reads=times, writes=times, within=within)
        self._journeys.until(journeys=times, within=within)
