"""What somebody is now: a session is of this morning, a person may have been disabled at noon.

The groups that a session carries were true at sign-in. Vault is asked instead, about the very
entity that signed in, and its answer counts for `fresh` seconds; half-way through it is asked
again in the background. So whoever is disabled, demoted or removed loses access within `fresh`
seconds, on every process.

While Vault does not answer, nobody can be disabled either: the last answer counts on, for `grace`
seconds at most. A copy of it lies in the cache, for processes that have not asked yet. Without
any answer there is no access: 503.

Silence is what two questions in a row met, and it is looked for anew all the time: a question that
is not answered is put again, and says nothing of anybody else. A Vault that answers "you may not
ask" is not silent: somebody's rights may have changed, so the last answer does not count on.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from infraforge_shared.problems import NotAllowed, Unavailable

log = logging.getLogger(__name__)

LookUp = Callable[[str], Mapping[str, Any] | None]
"""Path at Vault → what is kept there, None where there is nothing. Raises Unavailable."""

_MOST = 10_000
_ASK_AGAIN = 1.0  # seconds between two attempts while Vault does not answer
_SILENT_FOR = 5.0  # seconds for which two questions without an answer speak for others, too


@dataclass(frozen=True)
class Standing:
    """What Vault says of somebody. user is empty for an entity that is not there (any more)."""

    user: str
    groups: tuple[str, ...]
    disabled: bool


class Shelf(Protocol):
    """Where answers are kept for other processes; may lose them, never raises."""

    def keep(self, key: str, value: bytes, seconds: float) -> None: ...
    def kept(self, key: str) -> bytes | None: ...


@dataclass(frozen=True)
class _Seen:
    """asked: before the question was put (wall clock, which processes share)."""

    standing: Standing
    asked: float


class Standings:
    """The standings of one process."""

    def __init__(
        self,
        look_up: LookUp,
        shelf: Shelf,
        fresh: float,
        grace: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._look_up = look_up
        self._shelf = shelf
        self._fresh = fresh
        self._grace = grace
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._asking: set[str] = set()
        self._silent = False  # the last two questions were not answered
        self._unanswered = float("-inf")  # when that was seen last
        self._tried = float("-inf")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="standing")

    def of(self, subject: str) -> Standing:
        """What the entity `subject` is now. Raises Unavailable where nobody can tell."""
        seen = self._seen.get(subject)
        if seen is not None:
            age = self._clock() - seen.asked
            if 0 <= age < self._fresh or (0 <= age < self._grace and self._is_silent()):
                if age >= self._fresh / 2:
                    self._ask_in_background(subject)
                return seen.standing
        try:
            return self._ask(subject)
        except NotAllowed:
            raise
        except Unavailable:
            last = self._last(subject)
            if last is None:
                raise
            return last.standing

    def _is_silent(self) -> bool:
        """Whether it was seen a moment ago that Vault does not answer, or is being looked at."""
        lately = 0 <= self._clock() - self._unanswered < _SILENT_FOR
        return self._silent and (lately or bool(self._asking))

    def _ask(self, subject: str) -> Standing:
        asked, standing = self._answer(subject)
        if self._silent:
            log.info("vault can be asked about people again")
        self._silent = False
        self._remember(subject, _Seen(standing, asked))
        text = json.dumps({"asked": asked, **asdict(standing)})
        self._shelf.keep(_key(subject), text.encode(), self._grace)
        return standing

    def _answer(self, subject: str) -> tuple[float, Standing]:
        """When Vault was asked, and what it said. Asked twice before it is called silent."""
        for last in (self._silent, True):
            asked = self._tried = self._clock()
            try:
                return asked, self._read(subject)
            except NotAllowed:
                self._silent = False
                raise
            except Unavailable as problem:
                if last:
                    self._fell_silent(problem)
                    raise
        raise AssertionError("the second question ends it")

    def _fell_silent(self, problem: Unavailable) -> None:
        if not self._silent:
            log.warning("vault cannot be asked about people", extra={"error": problem.detail})
        self._silent = True
        self._unanswered = self._clock()

    def _read(self, subject: str) -> Standing:
        entity = self._look_up(f"identity/entity/id/{subject}")
        if entity is None:
            return Standing("", (), True)
        found = (self._look_up(f"identity/group/id/{key}") for key in entity["group_ids"] or ())
        groups = sorted(str(group["name"]) for group in found if group is not None)
        return Standing(str(entity["name"]), tuple(groups), bool(entity["disabled"]))

    def _last(self, subject: str) -> _Seen | None:
        """The latest answer there is, this process' or another's, while it may still count."""
        seen = self._seen.get(subject)
        raw = self._shelf.kept(_key(subject))
        if raw is not None:
            found = json.loads(raw)
            standing = Standing(found["user"], tuple(found["groups"]), found["disabled"])
            if seen is None or found["asked"] > seen.asked:
                seen = _Seen(standing, found["asked"])
        if seen is None or not 0 <= self._clock() - seen.asked < self._grace:
            return None
        self._remember(subject, seen)
        return seen

    def _remember(self, subject: str, seen: _Seen) -> None:
        with self._lock:
            self._seen.pop(subject, None)
            self._seen[subject] = seen
            while len(self._seen) > _MOST:  # the one that was asked about longest ago
                del self._seen[next(iter(self._seen))]

    def _ask_in_background(self, subject: str) -> None:
        with self._lock:
            too_soon = self._silent and 0 <= self._clock() - self._tried < _ASK_AGAIN
            if too_soon or subject in self._asking:
                return
            self._asking.add(subject)
        try:
            self._pool.submit(self._refresh, subject)
        except RuntimeError:  # the process is being stopped
            self._asking.discard(subject)

    def _refresh(self, subject: str) -> None:
        try:
            self._ask(subject)
        except Unavailable:
            pass  # told once by _ask; the last answer counts on
        finally:
            with self._lock:
                self._asking.discard(subject)


def _key(subject: str) -> str:
    return f"standing:{subject}"
