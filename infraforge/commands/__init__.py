"""The commands of `infraforge`: each lives with what it commands; here they are put together."""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Sequence

from infraforge import demo, doctor, entry, interrupts, render, report, running, stack
from infraforge.bench import command as bench
from infraforge.commands import completion, env, images, lifecycle, listing, password
from infraforge.report import harness
from infraforge.sabotage import command as sabotage

_TOX = "TOX_ENV_NAME"
_EPILOG = """\
exit codes: 0 everything holds · 1 something is broken
            2 unknown (inconclusive, or the suite or the harness itself failed)
            3 all that this cluster can show holds, but required tests need what it lacks
            64 usage, or a machine that cannot do it
            130 interrupted

a first look:       infraforge demo
a first run:        ./bootstrap tox -e minimal
step by step:       infraforge doctor; infraforge up --profile minimal; infraforge status;
                    pytest suites --profile minimal; infraforge down
"""


def run(argv: Sequence[str] | None = None) -> int:
    """Parse the call and run its command; the exit code."""
    options = parser().parse_args(argv)
    if _TOX in os.environ:
        interrupts.end_with_parent()
    with interrupts.heeded():
        return int(options.run(options))


def parser() -> entry.Parser:
    """All commands with all their options; the chosen one is in `run`."""
    whole = entry.Parser(
        prog="infraforge",
        description="A Kubernetes platform, and the suites that prove what it promises.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"infraforge {version()}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    doctor_parser = commands.add_parser(
        "doctor", help="what this machine is, what fits, what is missing"
    )
    doctor_parser.add_argument("--json", action="store_true", help="for programs")
    doctor_parser.set_defaults(run=lambda o: doctor.run(stack.TREE, as_json=o.json))

    demo.configure(commands)
    images.configure(commands)
    lifecycle.configure(commands)
    listing.configure(commands)
    env.configure(commands)
    password.configure(commands)
    completion.configure(commands, whole)

    render_parser = commands.add_parser("render", help="write a profile's manifests out")
    render.configure(render_parser)
    render_parser.set_defaults(run=render.run)

    test_parser = commands.add_parser(
        "test", help="stand up as needed, run the suites, write the report, remove what was made"
    )
    running.configure(test_parser)
    test_parser.set_defaults(run=running.run)

    sabotage_parser = commands.add_parser(
        "sabotage", help="break the platform; want the named tests red"
    )
    sabotage.configure(sabotage_parser)
    sabotage_parser.set_defaults(run=sabotage.run)

    bench_parser = commands.add_parser("bench", help="figures with their floor in the same run")
    bench.configure(bench_parser)
    bench_parser.set_defaults(run=bench.run)

    report.configure(commands)
    return whole


def version() -> str:
    """Of a checkout what its `pyproject.toml` says; of the package alone, what was installed."""
    path = stack.TREE.parent / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    except FileNotFoundError:
        return harness.version() or "of unknown version"
    return str(project["version"])
