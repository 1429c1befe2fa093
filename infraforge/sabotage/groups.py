"""Which sabotages can be rolled out together, so that one run of the suites judges them all.

Members of a group name different tests, and their patches apply one after another. Each member is
then judged by its own tests. What this cannot see: a member that does nothing while another member
turns its tests red. A group that is not caught as a whole is split until each member stands alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.sabotage.case import Sabotage, apply, copied
from infraforge.sabotage.verdict import Judgement
from infraforge.verdict import Outcome

MOST = 12
"""Members of a group, at most: more of them hide more from each other."""


@dataclass(frozen=True)
class Group:
    """Sabotages that are rolled out together. tree: a copy of platform/ with all their patches."""

    members: tuple[Sabotage, ...]
    tree: Path

    @property
    def as_one(self) -> Sabotage:
        """The group as a single sabotage, which names the tests of all members."""
        if len(self.members) == 1:
            return self.members[0]
        return Sabotage(
            name=f"{self.members[0].name}-and-{len(self.members) - 1}-more",
            claim=" ".join(member.claim for member in self.members),
            components=_each_once(member.components for member in self.members),
            red=_each_once(member.red for member in self.members),
            patches=tuple(patch for member in self.members for patch in member.patches),
            undo_sql=tuple(sql for member in self.members for sql in member.undo_sql),
        )

    def odd(self, judgement: Judgement) -> tuple[Sabotage, ...]:
        """Members whose tests were not all red."""
        red = set(judgement.as_named)
        return tuple(member for member in self.members if not set(member.red) <= red)

    def caught(self, judgement: Judgement) -> tuple[Sabotage, ...]:
        """Members that were caught for sure: all that is odd is about other members' tests.

        Where nothing says what is odd (tests that were red still are, say), none of them is.
        """
        odd = self.odd(judgement)
        if not odd and judgement.outcome is not Outcome.HOLDS:
            return ()
        theirs = {node for member in odd for node in member.red}
        if {*judgement.not_named, *judgement.unknown} - theirs:
            return ()
        return tuple(member for member in self.members if member not in odd)

    def split(self, judgement: Judgement) -> list[tuple[Sabotage, ...]]:
        """Two smaller parts: members whose tests were not all red, and the others; else halves."""
        odd = self.odd(judgement)
        rest = tuple(member for member in self.members if member not in odd)
        if not odd or not rest:
            half = (len(self.members) + 1) // 2
            odd, rest = self.members[:half], self.members[half:]
        return [odd, rest]


def grouped(sabotages: Sequence[Sabotage], tree: Path, work: Path, most: int = MOST) -> list[Group]:
    """Put each sabotage into the first group that takes it; the patched trees lie under `work`.

    tree: the true platform/ folder, which stays as it is; most: members of a group.
    Raises UsageError where a sabotage does not even apply to the true tree.
    """
    made: list[tuple[list[Sabotage], Path]] = []
    for one in sabotages:
        for members, broken in made:
            if len(members) < most and _named_apart(one, members) and _joined(one, broken):
                members.append(one)
                break
        else:
            made.append(([one], one.patched(tree, work)))
    return [Group(tuple(members), broken) for members, broken in made]


def _named_apart(one: Sabotage, members: Sequence[Sabotage]) -> bool:
    """Whether its tests can be told from theirs, and no experiment of `chaos` is among any."""
    if any(not node.startswith("suites/") for each in (one, *members) for node in each.red):
        return False
    return not any(set(one.red) & set(member.red) for member in members)


def _joined(one: Sabotage, broken: Path) -> bool:
    """Apply its patches to a tree that others broke, or leave it as it is where they do not fit."""
    trial = broken.parent / "trial" / broken.name
    copied(broken, trial)
    try:
        for patch in one.patches:
            apply(patch, trial)
    except UsageError:
        return False
    else:
        shutil.rmtree(broken)
        trial.rename(broken)
        return True
    finally:
        shutil.rmtree(trial.parent, ignore_errors=True)


def _each_once(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))
