"""`infraforge env`: how a shell reaches a platform."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping
from typing import Any

from infraforge import stack
from infraforge.cluster import state, tools
from infraforge.commands import options as common
from infraforge.errors import UsageError
from infraforge.note import Note


def configure(commands: Any) -> None:
    """Add the command to the subparsers; it sets `run`."""
    parser = commands.add_parser(
        "env",
        help="where a platform is, as shell variables",
        epilog='use it:  eval "$(infraforge env)"; "$INFRAFORGE_KUBECTL" get pods --all-namespaces',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.platform(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, not as shell variables")
    parser.set_defaults(run=_env)


def _env(options: argparse.Namespace) -> int:
    values = environment_of(common.name_of(options))
    if options.json:
        print(json.dumps(values, indent=1))
        return 0
    for key, value in values.items():
        if value is None:
            print(f"# {key}: not on this machine")
        else:
            print(f"export {key}={shlex.quote(value)}")
    return 0


def environment_of(name: str) -> Mapping[str, str | None]:
    """Shell variable → value: how to reach the platform; None for a program that is not here.

    Raises UsageError where no platform of this name was stood up.
    """
    note, kubeconfig = Note.read(name), state.cluster_dir(name) / "kubeconfig"
    if note is None or not kubeconfig.exists():
        known = [one for one in state.names() if one != name]
        others = f" (here are: {', '.join(known)})" if known else ""
        raise UsageError(f"no platform {name!r} is here{others}; run: infraforge up --name {name}")
    programs: dict[str, str | None] = {}
    for program, find in (("KUBECTL", tools.kubectl), ("KIND", tools.kind)):
        try:
            programs[f"INFRAFORGE_{program}"] = str(find(stack.TREE))
        except UsageError:
            programs[f"INFRAFORGE_{program}"] = None
    return {
        "KUBECONFIG": str(kubeconfig),
        "INFRAFORGE_CA": str(stack.authority(name).ca_file),
        "INFRAFORGE_ORIGIN": note.origin or f"https://127.0.0.1:{note.ports.https}",
        **programs,
    }
