"""What a sabotage is: a folder of patches against platform/, and the tests that must notice them.

    chaos/sabotages/NAME/sabotage.toml    claim       one sentence: what is broken
                                          components  what is rolled out again because of it
                                          red         node ids of the tests that must turn red
                                          undo_sql    statements that remove what outlives the
                                                      roll-out of the true tree (optional)
                                          (`registry` and `cluster`: what lies below them)
    chaos/sabotages/NAME/*.patch          unified diffs, as of the repository's root

Nothing here touches a cluster; whatever is wrong with a sabotage is told before anything does.
"""

from __future__ import annotations

import ast
import difflib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from infraforge import reading
from infraforge.errors import UsageError

FILE = "sabotage.toml"
BELOW = ("registry", "cluster")
"""What is rolled out beside components: `platform/cluster/registry/`, and files nodes mount."""
_LEFT_OUT = shutil.ignore_patterns("node_modules", "dist", "__pycache__", ".pytest_cache")


@dataclass(frozen=True)
class _File:
    """A `sabotage.toml` as it is read."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    claim: str = ""
    components: tuple[str, ...] = ()
    red: tuple[str, ...] = ()
    undo_sql: tuple[str, ...] = ()
    untried: str = ""


@dataclass(frozen=True)
class Sabotage:
    """One way to break the platform.

    components: those that are rolled out again; red: node ids, without parameters;
    undo_sql: run as superuser in the application's database once the true tree is out again;
    untried: why nobody has yet seen it caught on a cluster; "" for the others.
    """

    name: str
    claim: str
    components: tuple[str, ...]
    red: tuple[str, ...]
    patches: tuple[Path, ...]
    undo_sql: tuple[str, ...] = ()
    untried: str = ""

    @classmethod
    def load(cls, name: str, folder: Path) -> Sabotage:
        """Read `FOLDER/NAME/`. Raises UsageError for an unknown one and for what is odd in it."""
        place = folder / name
        path = place / FILE
        if name not in names(folder):
            near = difflib.get_close_matches(name, names(folder), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"there is no sabotage {name!r}{hint}; see: infraforge sabotage --list"
            )
        file = reading.parsed(path, reading.toml(path), _File)
        if not file.claim.strip():
            raise UsageError(f"{path}: claim must say in one sentence what is broken")
        odd = [p.name for p in place.iterdir() if p.name != FILE and p.suffix != ".patch"]
        if odd:
            raise UsageError(f"{place}: neither {FILE} nor a patch: {', '.join(sorted(odd))}")
        patches = tuple(sorted(place.glob("*.patch")))
        if not patches:
            raise UsageError(f"{place}: there is no patch: nothing would be broken")
        if not file.components or not file.red:
            raise UsageError(f"{path}: components and red must each name at least one")
        return cls(name=name, patches=patches, **vars(file))

    def patched(self, tree: Path, into: Path) -> Path:
        """A copy of `tree` (the platform/ folder) under `into`, broken in this way.

        Raises UsageError with patch's own words where a patch does not apply.
        """
        copy = into / self.name / tree.name
        copied(tree, copy)
        for patch in self.patches:
            apply(patch, copy)
        return copy

    def check(self, root: Path, components: Iterable[str]) -> None:
        """Raise UsageError unless its tests are in ROOT and its components among `components`."""
        for name in self.components:
            if name not in (*components, *BELOW):
                raise UsageError(f"sabotage {self.name}: the profile has no component {name!r}")
        for node in self.red:
            if not has_test(root, node):
                raise UsageError(f"sabotage {self.name}: there is no test {node}")


def copied(tree: Path, to: Path) -> None:
    """Copy a platform/ folder, without what can be built again."""
    shutil.copytree(tree, to, ignore=_LEFT_OUT)


def apply(patch: Path, tree: Path) -> None:
    """Patch a platform/ folder in place.

    Raises UsageError, in patch's own words, if it does not fit; it may be half patched then.
    """
    # no fuzz: a patch that no longer fits what it was made for might break something else
    argv = ["patch", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-p1"]
    done = subprocess.run(
        [*argv, "-i", str(patch)], cwd=tree.parent, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UsageError(f"{patch} does not apply to {tree}:\n{done.stdout.strip()}")


def names(folder: Path) -> list[str]:
    """The sabotages there are."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def pick(known: Sequence[str], count: int, commit: str) -> list[str]:
    """`count` of the known ones, as far apart as they can be; where to begin, the commit says.

    commit: hexadecimal. Raises UsageError for a count below 1.
    """
    if count < 1:
        raise UsageError(f"--rotate {count}: how many sabotages? At least 1 of {len(known)}")
    if count >= len(known):
        return list(known)
    begin = int(commit, 16) % len(known)
    return [known[(begin + at * len(known) // count) % len(known)] for at in range(count)]


def has_test(root: Path, node: str) -> bool:
    """Whether the file of the node id defines that test; nothing is imported."""
    file, *parts = node.split("::")
    path = root / file
    if not parts or not parts[-1].startswith("test") or not path.is_file():
        return False
    body: Sequence[ast.stmt] = ast.parse(path.read_text()).body
    for part in parts:
        found = [
            item
            for item in body
            if isinstance(item, ast.ClassDef | ast.FunctionDef) and item.name == part
        ]
        if not found:
            return False
        body = found[-1].body
    return True
