"""People who sign in or out, one after the other, and whether their cookies work afterwards.

with SignOuts(front_door, sessions) as leaving:
    leaving.until(ended=3)
    ...
history = leaving.history + leaving.ask()
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import requests

from infraforge.history import History
from infraforge.recorder import Recorder
from infraforge.wait import seconds, wait_until
from infraforge.workloads.crew import Crew
from infraforge.workloads.front_door import FrontDoor, Unexpected
from infraforge.workloads.visitor import NoAnswer, Visitor

_PACE = 0.3
_REFUSED, _ACCEPTED = 401, 200
_ANSWERED = seconds(60)


class SignOuts(Crew):
    """One thread that signs each of them out; their cookies are kept, as a thief would.

    Whoever is not told that it worked tries again before the next one does.
    """

    def __init__(self, front_door: FrontDoor, sessions: Sequence[Visitor]) -> None:
        super().__init__({"leaving": self._leave}, pause=lambda: _PACE)
        self._door = front_door
        self._copies = {f"session-{n}": who.twin() for n, who in enumerate(sessions)}
        self._staying = [(f"session-{n}", who) for n, who in enumerate(sessions)]
        self._recorder = Recorder()

    @property
    def history(self) -> History:
        """The sign-outs so far."""
        return self._recorder.history

    @property
    def ended(self) -> int:
        """How many were acknowledged."""
        return sum(call.ok for call in self.history.of("sign_out"))

    @property
    def left(self) -> int:
        """How many sessions are still to be ended."""
        return len(self._staying)

    def until(self, *, ended: int, within: float = 60.0, broken: bool = False) -> None:
        """Wait for so many more acknowledged ends of sessions.

        broken: whether a time-out breaks a promise of the platform.
        """
        goal = self.ended + ended

        def enough() -> bool:
            self.complain()
            return self.ended >= goal

        what = f"{ended} more people are signed out"
        wait_until(enough, within, every=0.02, what=what, broken=broken)

    def ask(self) -> History:
        """Of each session whether its cookie works now. Raises TimedOut without an answer."""
        return asked(self._copies)

    def _leave(self) -> None:
        if not self._staying:
            return
        key, who = self._staying[0]
        with self._recorder.call(
            "leaving", "sign_out", key, info=(NoAnswer, Unexpected, requests.RequestException)
        ) as call:
            self._door.sign_out(who)
            call.ok()
            self._staying.pop(0)


class SignIns(Crew):
    """One thread that signs the same person in again and again."""

    def __init__(self, front_door: FrontDoor, name: str, password: str) -> None:
        super().__init__({"arriving": self._arrive}, pause=lambda: _PACE)
        self._enter = functools.partial(front_door.sign_in, name, password)
        self._inside: dict[str, Visitor] = {}
        self._recorder = Recorder()

    @property
    def history(self) -> History:
        """The sign-ins so far."""
        return self._recorder.history

    def ask(self) -> History:
        """Of each session whether its cookie works now. Raises TimedOut without an answer."""
        return asked(self._inside)

    def _arrive(self) -> None:
        key = f"arrival-{len(self._recorder.history)}"
        with self._recorder.call(
            "arriving", "sign_in", key, info=(NoAnswer, Unexpected, requests.RequestException)
        ) as call:
            self._inside[key] = self._enter()
            call.ok()


def asked(sessions: Mapping[str, Visitor]) -> History:
    """Of each session whether its cookie works now. Raises TimedOut without an answer."""
    recorder = Recorder()
    for key, who in sessions.items():
        with recorder.call("thief", "ask", key) as call:
            status = wait_until(
                functools.partial(_status, who),
                _ANSWERED,
                every=0.5,
                what=f"the cookie of {key} is accepted or refused",
                ignoring=(NoAnswer,),
            )
            if status in (_ACCEPTED, _REFUSED):
                call.ok(status == _ACCEPTED)
            else:
                call.info(f"{status}")
    return recorder.history


def _status(who: Visitor) -> int:
    return who.ask("GET", "/api/me").status_code
