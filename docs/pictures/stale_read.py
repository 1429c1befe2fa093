"""Judge and draw the stale read that README.md shows.

    python docs/pictures/stale_read.py            # writes stale-read.svg and fenced-read.svg

The history is recorded, not made up: the backend's own cache code and Lua scripts run step by step
(`infraforge.selftests.stale_read`), as they do for `infraforge demo`. `stale-read` is that order of
steps with the writer's fence taken away; `fenced-read` is the same order with the code as it is
shipped.
"""

from __future__ import annotations

from pathlib import Path

from infraforge.checkers import no_stale_read
from infraforge.report import timeline
from infraforge.selftests.stale_read import recorded
from infraforge.verdict import check

HERE = Path(__file__).parent
NAMES = {"slow": "slow reader", "late": "later reader"}
PICTURES = {"stale-read": False, "fenced-read": True}
"""Name of the picture → whether the writer fences the cache, as the shipped code does."""


def picture(fenced: bool) -> str:
    """The SVG of one run."""
    history = recorded(fenced=fenced)
    return timeline.drawn(history, check(history, no_stale_read), NAMES)


def main() -> None:
    """Write both pictures beside this file."""
    for name, fenced in PICTURES.items():
        (HERE / f"{name}.svg").write_text(picture(fenced))
        print(HERE / f"{name}.svg")


if __name__ == "__main__":
    main()
