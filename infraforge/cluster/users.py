"""Who uses a platform: a run that ends must not remove it while another run uses it.

Every run (`infraforge test`, pytest, a benchmark) shares the lock `NAME.users`; a process that
removes the platform or breaks it on purpose holds it alone. The file records arrivals and
departures, one JSON object a line, so that a refusal can name the users.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from infraforge import locks
from infraforge.cluster import state
from infraforge.errors import UsageError
from infraforge.processes import Identity

HELD = "INFRAFORGE_HELD"
"""Set for the children of a process that holds the platform alone: that process's token."""
_own: set[str] = set()
"""Tokens by which this process itself holds a platform alone."""


class Use:
    """A run's use of one platform, from `join` until `leave`.

    what: how others are told of this use; otherwise: advice for this user when refused.
    """

    def __init__(self, name: str, what: str, otherwise: str = "use --name") -> None:
        self.name = name
        self._what = what
        self._otherwise = otherwise
        self._path = _path(name)
        self._token = uuid.uuid4().hex
        self._file: IO[str] | None = None

    def join(self) -> Use:
        """Begin. Raises UsageError naming the process that holds the platform alone."""
        if within(self.name):
            return self
        try:
            self._file = locks.take(self._path, shared=True, wait=False)
        except locks.Busy:
            raise UsageError(self._refused()) from None
        self._note(came=True)
        return self

    def leave(self) -> None:
        """End. Safe to call again."""
        if self._file is None:
            return
        self._note(came=False)
        self._file.close()
        self._file = None

    @contextlib.contextmanager
    def last(self) -> Iterator[bool]:
        """End this use; True if it was the last, and nobody can begin until the block ends."""
        if within(self.name):
            yield False
            return
        self.leave()
        try:
            file = locks.take(self._path, wait=False)
        except locks.Busy:
            yield False
            return
        with file:
            _write(file, [_line(self._token, f"{self._what}, which is removing it")])
            yield True
            file.truncate(0)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the platform alone for the duration of the block; only children may use it as well.

        Raises UsageError naming its other users.
        """
        joined = self._file is not None
        self.leave()
        try:
            file = locks.take(self._path, wait=False)
        except locks.Busy:
            told = self._refused()
            if joined:
                self.join()
            raise UsageError(told) from None
        before = os.environ.get(HELD)
        try:
            with file:
                _write(file, [_line(self._token, self._what)])
                os.environ[HELD] = f"{self.name}:{self._token}"
                _own.add(self._token)
                try:
                    yield
                finally:
                    _own.discard(self._token)
                    file.truncate(0)
        finally:
            if before is None:
                os.environ.pop(HELD, None)
            else:
                os.environ[HELD] = before
            if joined:
                self.join()

    def _refused(self) -> str:
        told = ", ".join(used_by(self.name)) or "another process"
        return f"platform {self.name!r} is in use by {told}; wait for it, or {self._otherwise}"

    def _note(self, *, came: bool) -> None:
        if self._file is not None:
            line = _line(self._token, self._what) if came else json.dumps({"left": self._token})
            self._file.write(line + "\n")  # opened for appending, so lines never mix
            self._file.flush()


def within(name: str) -> bool:
    """Whether this process, or an ancestor of it, holds the platform alone."""
    held, _, token = os.environ.get(HELD, "").partition(":")
    return held == name and token in _present(_path(name))


def under(name: str) -> bool:
    """Whether an ancestor of this process, and not this process itself, holds the platform alone.

    What is broken then is broken on purpose, and not this process's to heal.
    """
    return within(name) and os.environ[HELD].rpartition(":")[2] not in _own


def refuse_alone(name: str, what: str) -> None:
    """Raise UsageError where another process holds the platform alone, to remove or break it."""
    use = Use(name, what).join()
    use.leave()


def used_by(name: str) -> list[str]:
    """The present users of the platform, in words."""
    return list(_present(_path(name)).values())


def _path(name: str) -> Path:
    state.cluster_dir(name)  # reject an invalid name here
    return state.locks_dir() / f"{name}.users"


def _present(path: Path) -> dict[str, str]:
    """Users who arrived, have not left, and are still alive: token → description."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    users: dict[str, str] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            if "left" in entry:
                users.pop(entry["left"], None)
            elif Identity(**entry["process"]).lives:
                told = (
                    f"process {entry['process']['pid']} ({entry['what']}, since {entry['since']})"
                )
                users[str(entry["token"])] = told
        except (ValueError, KeyError, TypeError):
            continue  # a torn line: its writer died in the middle
    return users


def _line(token: str, what: str) -> str:
    now = time.strftime("%H:%M:%S")
    entry = {"token": token, "process": asdict(Identity.own()), "what": what, "since": now}
    return json.dumps(entry)


def _write(file: IO[str], lines: list[str]) -> None:
    file.truncate(0)
    file.write("".join(f"{line}\n" for line in lines))
    file.flush()
