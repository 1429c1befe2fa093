"""Compute the figures in README.md from the tree, and write them there.

    python docs/figures.py

What can be counted is counted: tests that a runnable profile requires, and sabotages with the tests
that they turn red. What only a measurement can tell says "not measured yet" until somebody writes
the measured number into `MEASURED`, with the date and the commit.
"""

from __future__ import annotations

import re
from pathlib import Path

from infraforge.profile import Profile, names
from infraforge.sabotage import case
from infraforge.sabotage.case import Sabotage

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TREE = ROOT / "platform"
CASES = ROOT / "chaos" / "sabotages"
MEASURED = {"False reds in N healthy runs of all suites": "*not measured yet*"}
"""Figures that no file in the tree can tell."""

_BLOCK = re.compile(r"(<!-- figures: [^>]*-->\n).*?(<!-- /figures -->)", re.DOTALL)


def figures() -> dict[str, str]:
    """What is counted → its value as README shows it."""
    profiles = [Profile.load(name, TREE) for name in names(TREE)]
    required = {node for one in profiles if one.deployable for node in one.required}
    sabotages = [Sabotage.load(name, CASES) for name in case.names(CASES)]
    caught = [one for one in sabotages if not one.untried]
    red = {node for one in caught for node in one.red} & required
    named = {node for one in sabotages for node in one.red} & required
    share = f"{100 * len(red) / len(required):.0f} %"
    return {
        "Properties proven: tests that a profile requires": str(len(required)),
        "Sabotages seen caught on a cluster": f"{len(caught)} of {len(sabotages)}",
        "Seen-red coverage: required tests that a sabotage was seen to turn red": (
            f"{len(red)} of {len(required)} ({share})"
        ),
        "Required tests that some sabotage names, tried or not": f"{len(named)} of {len(required)}",
        **MEASURED,
    }


def written(text: str) -> str:
    """README's text with the figures as they are now. Raises ValueError if it has no place."""
    rows = "".join(f"| {name} | {value} |\n" for name, value in figures().items())
    made, number = _BLOCK.subn(rf"\g<1>| figure | value |\n|---|---|\n{rows}\g<2>", text)
    if number != 1:
        raise ValueError(f"README.md has {number} places for figures, not one")
    return made


def main() -> None:
    """Write the figures into README.md."""
    README.write_text(written(README.read_text()))
    print(f"written to {README}")


if __name__ == "__main__":
    main()
