"""`python -m infraforge.images`: the images alone, from the `platform/` folder of this checkout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infraforge.errors import InfraForgeError
from infraforge.images import command


def main() -> int:
    """Run one of the commands; the exit code."""
    parser = argparse.ArgumentParser(prog="infraforge images")
    parser.add_argument("--ca", type=Path, help="certificate that vouches for the registry")
    command.configure(parser)
    options = parser.parse_args()
    tree = Path(__file__).parents[2] / "platform"
    try:
        return command.run(options, tree, command.Here(lambda: options.ca, dict, {}))
    except InfraForgeError as error:
        print(f"infraforge images: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
