"""The harness that produced a run's verdicts: its version, and a digest of the judging code."""

from __future__ import annotations

import functools
import hashlib
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_JUDGES = (
    "checkers/*.py",
    "history.py",
    "outcome.py",
    "report/controls.py",
    "report/index.py",
    "table.py",
    "verdict.py",
)
"""The code that determines verdicts, outcomes and the controls page: same code, same words."""


def version() -> str:
    """The installed version; "" where the package is not installed."""
    try:
        return metadata.version("infraforge")
    except metadata.PackageNotFoundError:
        return ""


@functools.cache
def code() -> str:
    """SHA-256 over the judging code."""
    digest = hashlib.sha256()
    for pattern in _JUDGES:
        for path in sorted(_PACKAGE.glob(pattern)):
            digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
