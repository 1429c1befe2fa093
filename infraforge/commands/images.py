"""`infraforge images`: gives the commands of `infraforge.images` what they need of this machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infraforge import progress, stack
from infraforge.cluster import state, tools
from infraforge.images import build, command, sources
from infraforge.images.catalogue import Catalogue


def configure(commands: Any) -> None:
    """Add the command to the subparsers; it sets `run`."""
    parser = commands.add_parser(
        "images", help="the catalogue: list, build, push, pull, pin, export, import"
    )
    command.configure(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    here = command.Here(_ca_file, _programs, tools.places(stack.TREE))
    with state.sharing_machine():
        return command.run(options, stack.TREE, here)


def _ca_file() -> Path:
    """Start the local registry; the certificate that vouches for it."""
    catalogue = Catalogue.load(stack.TREE)
    sources.plan(["registry"], catalogue).build()
    return stack.start_registry(catalogue).ca_file


def _programs() -> Mapping[str, Path]:
    build.compile_tools(tools.missing(stack.TREE), Catalogue.load(stack.TREE), progress.silent)
    return tools.built(stack.TREE)
