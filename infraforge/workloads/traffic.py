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
import threading
from types import TracebackType

from infraforge.errors import Broken, Inconclusive
from infraforge.history import History, Kind, Recorder
from infraforge.wait import minutes, seconds, wait_until
from infraforge.workloads import journey, register, steady
from infraforge.workloads.backend_client import BackendClient, Project
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import Person

_STOPS_WITHIN = minutes(1)
_PACE = seconds(0.5)


class Journeys:
    """One thread that goes the whole way, from the sign-in to the sign-out, over and over."""

    def __init__(self, front_door: FrontDoor, person: Person) -> None:
        self._front_door = front_door
        self._person = person
        self._recorder = Recorder()
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="traveller", daemon=True)

    def __enter__(self) -> Journeys:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(_STOPS_WITHIN)
        if error is None:
            self._complain()

    @property
    def history(self) -> History:
        """What was done so far."""
        return self._recorder.history

    def until(self, *, journeys: int, within: float) -> None:
        """Go on until so many more came to their end, well or not; one under way counts."""
        start = len(self.history)

        def enough() -> bool:
            self._complain()
            ended = self.history.operations[start:]
            return sum(operation.kind is not Kind.INVOKE for operation in ended) >= journeys

        wait_until(enough, within, every=0.1, what=f"{journeys} more journeys")

    def _complain(self) -> None:
        if self._failures:
            error = self._failures[0]
            raise Inconclusive(f"a journey failed: {type(error).__name__}: {error}") from error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._go()
                self._stop.wait(_PACE)
        except BaseException as error:  # noqa: BLE001 - told by `until` and at the block's end
            self._failures.append(error)

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def history(self) -> History:
        """What everybody did so far."""
        return self._users.history + self._load.history + self._journeys.history

    def until(self, *, times: int, within: float = 120.0) -> None:
        """Go on until each thing was done so many times more."""
        self._users.until(answers=times, within=within)
        self._load.until(reads=times, writes=times, within=within)
        self._journeys.until(journeys=times, within=within)
