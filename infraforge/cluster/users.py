"""Who uses a platform: a run that ends must not remove it under another.

Every run (`infraforge test`, pytest, a benchmark) holds `NAME.users` shared; who removes the
platform or breaks it on purpose holds it alone. The file lists who came and who left, one JSON
object a line, so that whoever is refused is told by whom.
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
"""Environment of processes that work within one which holds the platform alone: its token."""


class Use:
    """A run's use of one platform, from `join` until `leave`.

    what: who uses it, for others to be told; otherwise: what to do where it is refused.
    """

    def __init__(self, name: str, what: str, otherwise: str = "use --name") -> None:
        self.name = name
        self._what = what
        self._otherwise = otherwise
        self._path = _path(name)
        self._token = uuid.uuid4().hex
        self._file: IO[str] | None = None

    def join(self) -> Use:
        """Begin. Raises UsageError naming who holds the platform alone."""
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
        """End this use; True where nobody else uses the platform, and nobody begins meanwhile."""
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
        """Have nobody else use the platform while the block runs, but processes of this one.

        Raises UsageError naming who does.
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
                try:
                    yield
                finally:
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
            self._file.write(line + "\n")  # opened for appending, so each line stays whole
            self._file.flush()


def within(name: str) -> bool:
    """Whether this process, or one that it works for, holds the platform alone."""
    held, _, token = os.environ.get(HELD, "").partition(":")
    return held == name and token in _present(_path(name))


def refuse_alone(name: str, what: str) -> None:
    """Raise UsageError where somebody holds the platform alone: removes it, or breaks it."""
    use = Use(name, what).join()
    use.leave()


def used_by(name: str) -> list[str]:
    """Who uses the platform now, in words."""
    return list(_present(_path(name)).values())


def _path(name: str) -> Path:
    state.cluster_dir(name)  # a name that is none is told here
    return state.locks_dir() / f"{name}.users"


def _present(path: Path) -> dict[str, str]:
    """Those who came and did not leave, and still live: token → who, in words."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            if "left" in entry:
                found.pop(entry["left"], None)
            elif Identity(**entry["process"]).lives:
                told = (
                    f"process {entry['process']['pid']} ({entry['what']}, since {entry['since']})"
                )
                found[str(entry["token"])] = told
        except (ValueError, KeyError, TypeError):
            continue  # torn: who wrote it died in the middle
    return found


def _line(token: str, what: str) -> str:
    now = time.strftime("%H:%M:%S")
    entry = {"token": token, "process": asdict(Identity.own()), "what": what, "since": now}
    return json.dumps(entry)


def _write(file: IO[str], lines: list[str]) -> None:
    file.truncate(0)
    file.write("".join(f"{line}\n" for line in lines))
    file.flush()
