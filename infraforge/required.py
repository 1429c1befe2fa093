"""Which tests a profile requires: read from the suites themselves, and locked.

A folder of tests names the components it is about: `COMPONENTS` in its conftest.py. Its tests are
required of every profile that has them all; the tests of other folders, of every profile. A folder
about a component as one of its overlays makes it names `COMPONENT/OVERLAY`. The names
are kept in `platform/profiles/required.lock`, one test a line with its components behind it. The
lock is generated and reviewed: without it nobody would notice a test that was deleted.

    python -m infraforge.required      # write the lock again, and say what changed
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from infraforge import files, folders
from infraforge.errors import UsageError
from infraforge.profile import LOCK, locked

_HEAD = "# Generated from suites/ and chaos/ by: python -m infraforge.required\n"


def declared(root: Path) -> dict[str, tuple[str, ...]]:
    """Test → the components it needs, for every test below ROOT/suites and ROOT/chaos.

    No test is imported. Raises UsageError for what this cannot read.
    """
    return {
        f"{path.relative_to(root).as_posix()}::{name}": components_of(path.parent, root)
        for folder in ("suites", "chaos")
        for path in sorted((root / folder).rglob("test_*.py"))
        for name in _tests(path)
    }


def components_of(folder: Path, root: Path) -> tuple[str, ...]:
    """The components that this folder and those above it, up to ROOT, name."""
    found: set[str] = set()
    while folder != root:
        found |= set(_components(folder / "conftest.py"))
        folder = folder.parent
    return tuple(sorted(found))


def _tests(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        name = str(getattr(node, "name", ""))
        if isinstance(node, ast.FunctionDef) and name.startswith("test"):
            yield name
        elif name.startswith(("test", "Test")):
            raise UsageError(f"{path}: {name}: tests are functions here")


def _components(path: Path) -> Sequence[str]:
    if not path.exists():
        return ()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPONENTS":
            named = ast.literal_eval(node.value)
            if not isinstance(named, tuple):
                raise UsageError(f"{path}: COMPONENTS must be a tuple of names")
            return tuple(map(str, named))
    return ()


def text(tests: Mapping[str, Sequence[str]]) -> str:
    """The lock's content."""
    return _HEAD + "".join(f"{' '.join((name, *tests[name]))}\n" for name in sorted(tests))


def main(root: Path | None = None) -> int:
    """Write the lock; say which tests came and went."""
    root = root or folders.root()
    before, now = locked(root / "platform"), declared(root)
    files.replace(root / "platform" / "profiles" / LOCK, text(now))
    for sign, names in (("-", before.keys() - now.keys()), ("+", now.keys() - before.keys())):
        for name in sorted(names):
            print(f"{sign} {name}")
    for name in sorted(name for name in before.keys() & now if before[name] != now[name]):
        print(f"~ {name}: {' '.join(before[name]) or 'all'} -> {' '.join(now[name]) or 'all'}")
    print(f"{len(now)} tests are in platform/profiles/{LOCK}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
