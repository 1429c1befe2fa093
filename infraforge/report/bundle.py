"""A bundle: a run's results, histories and report in one file, and its verdicts made anew from it.

The manifest's hashes show what was damaged or left out. Who wants to show that nobody changed a
bundle and its manifest keeps the bundle's own hash, which is printed, somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infraforge import checkers, verdict
from infraforge.errors import UsageError
from infraforge.evidence import HISTORY, VERDICT
from infraforge.history import History
from infraforge.verdict import Outcome

MANIFEST = "MANIFEST.sha256"


@dataclass(frozen=True)
class Judged:
    """A kept verdict, and what its checker says of the kept history now.

    again: None where it cannot be recomputed, for the reason told.
    """

    file: str
    name: str
    kept: Outcome
    again: Outcome | None
    reason: str = ""

    @property
    def agrees(self) -> bool:
        return self.again is None or self.again is self.kept


def pack(folders: Iterable[Path], bundle: Path) -> str:
    """Everything in the folders as one zip with a manifest; its SHA-256."""
    files = {
        f"{folder.name}/{path.relative_to(folder)}": path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as packed:
        lines = []
        for name, path in files.items():
            data = path.read_bytes()
            lines.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            packed.writestr(name, data)
        packed.writestr(MANIFEST, "".join(lines))
    return hashlib.sha256(bundle.read_bytes()).hexdigest()


def unpack(bundle: Path) -> Mapping[str, bytes]:
    """The bundle's files by name. Raises UsageError where it is none, or cannot be read."""
    try:
        with zipfile.ZipFile(bundle) as packed:
            files = {name: packed.read(name) for name in packed.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(f"{bundle} is no bundle: {error}") from error
    if MANIFEST not in files:
        raise UsageError(f"{bundle} is no bundle: it has no {MANIFEST}")
    return files


def damaged(files: Mapping[str, bytes]) -> list[str]:
    """What is not as the manifest says, in words."""
    lines = files[MANIFEST].decode().splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = [f"{name} is missing" for name in listed if name not in files]
    for name, data in files.items():
        if name == MANIFEST:
            continue
        if name not in listed:
            found.append(f"{name} is not in the manifest")
        elif hashlib.sha256(data).hexdigest() != listed[name]:
            found.append(f"{name} was changed")
    return found


def judge(files: Mapping[str, bytes]) -> list[Judged]:
    """Every kept verdict, beside what its checkers say of its history now."""
    histories = {}
    for name, data in files.items():
        if name.endswith(f".{HISTORY}"):
            histories[hashlib.sha256(data).hexdigest()] = data.decode()
    return [
        judged
        for name, data in files.items()
        if name.endswith(f".{VERDICT}")
        for judged in _judged(name, json.loads(data), histories)
    ]


def _judged(file: str, kept: dict[str, Any], histories: Mapping[str, str]) -> Iterator[Judged]:
    name, outcome = kept["name"], Outcome(kept["outcome"])
    checker = None
    reason = "no history was judged"
    if kept["history"]:
        try:
            checker = checkers.named(name)
        except KeyError:
            reason = "its checker is the test's own"
    if checker is None and "parts" in kept:
        parts = [Outcome(part["outcome"]) for part in kept["parts"]]
        yield Judged(file, name, outcome, verdict.worst(parts), "merged")
        for part in kept["parts"]:
            yield from _judged(file, part, histories)
        return
    if checker is None:
        yield Judged(file, name, outcome, None, reason)
        return
    text = histories.get(kept["history"])
    if text is None:
        yield Judged(file, name, outcome, None, "its history was not kept")
        return
    again = verdict.check(History.from_lines(text), checker)
    yield Judged(file, name, outcome, again.outcome, again.explanation)
