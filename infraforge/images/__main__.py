"""`python -m infraforge.images`: the images alone, from the `platform/` folder of this checkout."""

from __future__ import annotations

import sys

from infraforge import arguments, entry, folders
from infraforge.images import command
from infraforge.images.cache import cache_dir


def main() -> int:
    """Run one of the commands; the exit code."""
    return entry.guard("infraforge images", _run, lambda: cache_dir() / "traces")


def _run() -> int:
    parser = entry.Parser(prog="infraforge images")
    parser.add_argument(
        "--ca", type=arguments.readable_file, help="certificate that vouches for the registry"
    )
    command.configure(parser)
    options = parser.parse_args()
    return command.run(
        options, folders.shipped("platform"), command.Here(lambda: options.ca, dict, {})
    )


if __name__ == "__main__":
    sys.exit(main())
