"""The undo journal: each undo is on disk before its fault strikes.

One JSON object a line, in the order of the faults; a lock protects it between processes. An entry
is on disk (fsync) when `add` returns, and removed only by `remove`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infraforge import files
from infraforge.cluster import state
from infraforge.processes import Identity

FILE = "undo.jsonl"
RUN = "INFRAFORGE_RUN"
_TEST = "PYTEST_CURRENT_TEST"  # as pytest sets it: node id and phase


@dataclass(frozen=True)
class Owner:
    """Who injected a fault. process: None in an older version's journal; run, test: or ""."""

    process: Identity | None = None
    run: str = ""
    test: str = ""

    @classmethod
    def here(cls) -> Owner:
        """This process, in its present test."""
        test = os.environ.get(_TEST, "").rpartition(" ")[0]
        return cls(Identity.own(), os.environ.get(RUN, ""), test)

    @property
    def lives(self) -> bool:
        """Whether the process is alive; that does not mean that it will undo its fault."""
        return self.process is not None and self.process.lives

    def __str__(self) -> str:
        who = f"process {self.process.pid}" if self.process else "an unknown process"
        return f"{who} in {self.test}" if self.test else who


@dataclass(frozen=True)
class Entry:
    """One fault and its undo. fault: in words; kind, parameters: the undo as data."""

    kind: str
    parameters: Mapping[str, str]
    fault: str
    entry_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    owner: Owner = field(default_factory=Owner.here)


@dataclass(frozen=True)
class Contents:
    """The journal's content. unreadable: lines that are not entries, such as a torn last one."""

    entries: tuple[Entry, ...]
    unreadable: tuple[str, ...]


class Journal:
    """The journal in one file, which exists only while there are entries."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, cluster: str) -> Journal:
        """The journal of the cluster with this name."""
        return cls(state.cluster_dir(cluster) / FILE)

    def add(self, entry: Entry) -> None:
        """Append the entry, and return once it is on disk."""
        with self._locked():
            fresh = not self.path.exists()
            with self.path.open("ab+") as file:
                file.seek(0, os.SEEK_END)
                torn = file.tell() > 0 and not _ends_a_line(self.path)
                file.write((b"\n" if torn else b"") + _line(entry))
                file.flush()
                os.fsync(file.fileno())
            if fresh:
                files.sync_folder(self.path.parent)

    def read(self) -> Contents:
        """All entries in the order of their faults; other lines are reported, never obeyed."""
        if not self.path.exists():
            return Contents((), ())
        entries, unreadable = [], []
        for raw in self.path.read_bytes().split(b"\n"):
            if not raw.strip():
                continue
            entry = _entry(raw)
            if entry is None:
                unreadable.append(raw.decode("utf-8", "replace"))
            else:
                entries.append(entry)
        return Contents(tuple(entries), tuple(unreadable))

    def remove(self, entry_id: str) -> None:
        """Remove the entry, if it is there; unreadable lines go with the last entry."""
        if not self.path.exists():
            return  # and do not create a folder for a cluster that is gone
        with self._locked():
            contents = self.read()
            kept = [entry for entry in contents.entries if entry.entry_id != entry_id]
            if not kept:
                self.path.unlink(missing_ok=True)
            else:
                lost = [f"{line}\n".encode() for line in contents.unreadable]
                files.replace(self.path, b"".join([*map(_line, kept), *lost]))
            files.sync_folder(self.path.parent)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry), sort_keys=True).encode() + b"\n"


def _entry(raw: bytes) -> Entry | None:
    try:
        data: Any = json.loads(raw)
        parameters = {str(key): str(value) for key, value in data["parameters"].items()}
        return Entry(
            str(data["kind"]),
            parameters,
            str(data.get("fault", "")),
            str(data["entry_id"]),
            _owner(data.get("owner") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _owner(data: Mapping[str, Any]) -> Owner:
    process = Identity(**data["process"]) if data.get("process") else None
    return Owner(process, str(data.get("run", "")), str(data.get("test", "")))


def _ends_a_line(path: Path) -> bool:
    return path.read_bytes().endswith(b"\n")
