"""Everything people do at the front door, repeated while something else happens.

    with traffic.Traffic(front_door, devon, developer, project) as people:
        people.until(times=5)
        ...
    verdict = check(people.history, no_request_failed)

Some keep their session and their connections; others sign in anew each time, store a file, and
leave. One history holds every call.
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
    """One thread that repeats the whole journey from sign-in to sign-out."""

    def __init__(self, front_door: FrontDoor, person: Person) -> None:
        self._front_door = front_door
        self._person = person
        self._recorder = Recorder()
        super().__init__({"traveller": self._go}, pause=lambda: _PACE)

    @property
    def history(self) -> History:
        """The journeys so far."""
        return self._recorder.history

    def until(self, *, journeys: int, within: float) -> None:
        """Wait until so many more journeys end, successfully or not; one under way counts."""
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
    """Readers, writers, users of pages and travellers at once.

    person: signs in again for each journey; developer: the others share this session; project: the
    one that they use.
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
        """Everything that everybody did so far."""
        return self._users.history + self._load.history + self._journeys.history

    def until(self, *, times: int, within: float = 120.0) -> None:
        """Wait until each activity was done so many times more."""
        self._users.until(answers=times, within=within)
        self._load.until(reads=times, writes=times, within=within)
        self._journeys.until(journeys=times, within=within)
