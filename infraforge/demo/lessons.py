"""The recordings that the demo shows, read from the package."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path

from infraforge import checkers
from infraforge.history import History
from infraforge.verdict import Checker, Outcome, Rule, Verdict, check

FOLDER = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Lesson:
    """One recording. teaches: the outcome that its text is about; the other fields: see the head of
    `recordings.toml`."""

    title: str
    story: str
    lesson: str
    origin: str
    teaches: Outcome
    history: History
    checker: Checker

    def verdict(self) -> Verdict:
        """What the real checker says of the recording, now."""
        return check(self.history, self.checker)


def load(folder: Path = FOLDER) -> list[Lesson]:
    """All lessons, in order."""
    data = tomllib.loads((folder / "recordings.toml").read_text(encoding="utf-8"))
    found = []
    for entry in data["recordings"]:
        lines = (folder / entry["file"]).read_text(encoding="utf-8").splitlines(keepends=True)
        text = "".join(itertools.islice(lines, entry.get("first")))
        checker = checkers.of(Rule(entry["checker"]))
        found.append(
            Lesson(
                entry["title"],
                entry["story"],
                entry["lesson"],
                entry["origin"],
                Outcome(entry["teaches"]),
                History.from_lines(text),
                checkers.under_fault(checker) if entry["under_fault"] else checker,
            )
        )
    return found
