"""Where platform/, suites/, chaos/ and reports/ are, in a checkout and in a wheel alike.

In a checkout they lie beside the package. A wheel holds copies of them inside the package, in
`infraforge/_data`: a top-level folder `platform` among installed packages could hide the standard
library's module of that name. What a run writes never goes into an installed package: see `output`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from infraforge import places

PACKAGE = Path(__file__).parent
"""The package's own files."""
_INSTALLED = PACKAGE / "_data"

Folder = Literal["platform", "suites", "chaos", "reports"]


def installed() -> bool:
    """Whether this is an installed wheel, and not a checkout (or an editable install of one)."""
    return _INSTALLED.is_dir()


def root() -> Path:
    """The folder that holds `conftest.py`, `pyproject.toml` and the four folders.

    Pytest runs in it, so node ids such as `suites/data/test_files.py::test_…` are the same in a
    checkout and in a wheel.
    """
    return _INSTALLED if installed() else PACKAGE.parent


def shipped(name: Folder) -> Path:
    """One of the four folders, as it was shipped. Read it, do not write into it."""
    return root() / name


def state() -> Path:
    """`~/.local/state/infraforge`, or what INFRAFORGE_STATE says.

    Raises UsageError where this user has no home folder and INFRAFORGE_STATE is not set.
    """
    chosen = os.environ.get("INFRAFORGE_STATE")
    return Path(chosen).absolute() if chosen else places.home() / ".local" / "state" / "infraforge"


def output() -> Path:
    """Where runs, reports and bundles are written.

    `reports/` of a checkout. For an installed wheel it is `reports` in the state folder, whatever
    the current folder is, so that `infraforge report` finds the runs of `infraforge test`.
    """
    return state() / "reports" if installed() else shipped("reports")


def output_of(rootdir: Path) -> Path:
    """Where a pytest run with this root directory keeps its results."""
    return output() if rootdir.resolve() == root().resolve() else rootdir / "reports"


def pytest_options() -> list[str]:
    """Options for a pytest that runs in `root()`: its cache is run output, too."""
    return ["-o", f"cache_dir={output() / '.pytest_cache'}"] if installed() else []


def pytest_environment() -> Mapping[str, str]:
    """Additional environment variables for such a pytest: it writes no bytecode into a wheel."""
    return {"PYTHONDONTWRITEBYTECODE": "1"} if installed() else {}
