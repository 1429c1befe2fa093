"""Users who keep using the platform whatever happens, and what they experience.

    with steady.Users(visitor, {"page": "/", "who am I": "/api/me"}) as users:
        users.until(answers=20)
        ...
    assert users.fared.dishonest == {}

An answer that states the truth is a success; 502 to 504 or no answer is an honest error. Anything
else (signed out, not found, forbidden) is untrue while the session and the object exist.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import requests

from infraforge.history import History, Kind
from infraforge.recorder import Recorder
from infraforge.wait import wait_until
from infraforge.workloads.crew import Crew
from infraforge.workloads.visitor import Visitor

_PACE = 0.1
NO_ANSWER = "no answer"
_HONEST = ("502", "503", "504", NO_ANSWER)


@dataclass(frozen=True)
class Fared:
    """The users' results. answered: correct answers per question; errors: the others, per question
    and kind; longest: the most seconds between two correct answers.
    """

    answered: Mapping[str, int]
    errors: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    longest: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, history: History) -> Fared:
        """Compute the results from the users' history."""
        answered: Counter[str] = Counter()
        errors: dict[str, Counter[str]] = {}
        latest: dict[str, int] = {}
        longest: dict[str, float] = {}
        for call in history.clients:
            if call.completion is None:
                continue
            if not call.ok:
                errors.setdefault(call.function, Counter())[call.completion.error] += 1
                continue
            answered[call.function] += 1
            now = call.completion.time
            gap = (now - latest.get(call.function, now)) / 1e9
            longest[call.function] = max(longest.get(call.function, 0.0), round(gap, 2))
            latest[call.function] = max(now, latest.get(call.function, now))
        return cls(dict(answered), {key: dict(kinds) for key, kinds in errors.items()}, longest)

    @property
    def dishonest(self) -> Mapping[str, Mapping[str, int]]:
        """Errors that state something untrue."""
        lies = {
            asked: {told: number for told, number in came.items() if told not in _HONEST}
            for asked, came in self.errors.items()
        }
        return {asked: came for asked, came in lies.items() if came}

    @property
    def failures(self) -> int:
        """The number of answers that were not correct."""
        return sum(sum(came.values()) for came in self.errors.values())


class Users(Crew):
    """One thread for each question, with a copy of the visitor's session.

    asked: the question's name → its path, requested with GET. An answer that sets a cookie is
    recorded as an error of its own kind: nobody signs in or out here.
    """

    def __init__(self, who: Visitor, asked: Mapping[str, str], pace: float = _PACE) -> None:
        self._recorder = Recorder()
        tasks = {
            name: functools.partial(self._ask, who.twin(), name, path)
            for name, path in asked.items()
        }
        super().__init__(tasks, pause=lambda: pace)
        self._asked = tuple(asked)

    @property
    def history(self) -> History:
        """The questions and answers so far."""
        return self._recorder.history

    @property
    def fared(self) -> Fared:
        """The results so far."""
        return Fared.of(self.history)

    def until(self, *, answers: int, within: float = 60.0, broken: bool = False) -> None:
        """Wait for so many more correct answers to each question, asked after this call.

        broken: whether a time-out breaks a promise of the platform.
        """
        start = len(self.history)

        def enough() -> bool:
            self.complain()
            begun = self.history.operations[start:]  # not a history: it may begin with a completion
            right = Counter(operation.function for operation in begun if operation.kind is Kind.OK)
            # one may have been under way at the start, so it does not count
            return all(right[name] > answers for name in self._asked)

        what = f"{answers} more right answers to each"
        wait_until(enough, within, every=0.1, what=what, broken=broken)

    def _ask(self, who: Visitor, name: str, path: str) -> None:
        call = self._recorder.invoke(name, name)
        try:
            answer = who.get(path)
        except requests.RequestException:
            call.info(NO_ANSWER)
            return
        told = f"{answer.status_code} {answer.headers.get('Location', '')}".rstrip()
        if "Set-Cookie" in answer.headers:
            call.fail(f"{told} with a cookie")
        elif answer.status_code == requests.codes.ok:
            call.ok(answer.status_code)
        else:
            call.info(told)
