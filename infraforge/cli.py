"""The console script `infraforge`: only the door, so that whatever lies behind it is guarded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from infraforge import entry


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    return entry.guard("infraforge", lambda: _run(argv), _traces)


def _run(argv: Sequence[str] | None) -> int:
    from infraforge import commands  # noqa: PLC0415 - a broken installation is told as well

    return commands.run(argv)


def _traces() -> Path:
    from infraforge.cluster import state  # noqa: PLC0415

    return state.state_dir() / "traces"


if __name__ == "__main__":
    sys.exit(main())
