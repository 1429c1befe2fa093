"""The findings of an examination of a bundle."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from infraforge.report.index import Index
from infraforge.report.rejudge import Judged


class Grade(enum.Enum):
    """What a finding means for the whole bundle; the value is the exit code."""

    CHANGED = 1
    UNCERTAIN = 2


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, in words that name the member or the test."""

    grade: Grade
    words: str

    def __str__(self) -> str:
        return f"{'changed' if self.grade is Grade.CHANGED else 'uncertain'}: {self.words}"


@dataclass
class Examined:
    """What an examination found.

    judged: every verdict that a test rests on; by_assertion: tests that rest on assertions in their
    own code, of which nothing can be made again; index: None where it could not be read; signed_by:
    fingerprint of the key that signed, "" where nobody is known to have.
    """

    findings: list[Finding] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    by_assertion: list[str] = field(default_factory=list)
    index: Index | None = None
    signed_by: str = ""
    vouched_for: bool = False

    @property
    def exit_code(self) -> int:
        grades = {finding.grade for finding in self.findings}
        return next((grade.value for grade in Grade if grade in grades), 0)

    def changed(self, *words: str) -> None:
        self.findings += [Finding(Grade.CHANGED, said) for said in words]

    def uncertain(self, *words: str) -> None:
        self.findings += [Finding(Grade.UNCERTAIN, said) for said in words]
