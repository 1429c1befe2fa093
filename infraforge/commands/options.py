"""Which platform a command is about: `--cluster` and `--name`."""

from __future__ import annotations

import argparse

from infraforge import arguments, brought, stack
from infraforge.cluster import state


def platform(parser: argparse.ArgumentParser) -> None:
    """Add both options; see `name_of`."""
    parser.add_argument(
        "--cluster",
        choices=("kind", "existing"),
        default="kind",
        help="one that is made here, or one that you bring (%(default)s)",
    )
    parser.add_argument(
        "--name",
        type=arguments.refusing(state.cluster_dir),
        help=f"name of the platform (default: {stack.DEFAULT_NAME}; "
        f"with --cluster existing: {brought.NAME})",
    )


def name_of(options: argparse.Namespace) -> str:
    """The platform's name, as said or by default."""
    default = brought.NAME if options.cluster == "existing" else stack.DEFAULT_NAME
    return str(options.name or default)
