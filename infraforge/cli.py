"""The console script `infraforge`. Each command lives with what it commands; this is the door."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from infraforge import bench, doctor, environment, report, running, sabotage, stack
from infraforge.errors import InfraForgeError, UsageError
from infraforge.faults import nemesis
from infraforge.images import command as images
from infraforge.images import progress
from infraforge.profile import Profile

_EPILOG = """\
exit codes: 0 everything holds · 1 something is broken
            2 unknown (inconclusive, or the suite itself failed)
            64 usage, or a machine that cannot do it

a first run:        ./bootstrap tox -e minimal
step by step:       infraforge doctor; infraforge up --profile minimal; infraforge status;
                    pytest suites --profile minimal; infraforge down
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args(argv)
    # also where whoever started this has SIGINT ignored, as shells do for what runs beside them:
    # children would inherit that, and could not be asked to end
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return int(options.run(options))
    except InfraForgeError as error:
        print(f"infraforge: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("infraforge: interrupted", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # threads that still wait for what is gone hold nobody up


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call, and ends with the project's own exit code for it."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}; see: {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="infraforge",
        description="A Kubernetes platform, and the suites that prove what it promises.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    found = commands.add_parser("doctor", help="what this machine is, what fits, what is missing")
    found.add_argument("--json", action="store_true", help="for programs")
    found.set_defaults(run=lambda o: doctor.run(stack.TREE, as_json=o.json))

    pictures = commands.add_parser("images", help="the catalogue: list, build, push")
    images.configure(pictures)
    pictures.set_defaults(run=_images)

    up = commands.add_parser("up", help="stand the platform up, or find it running")
    _named(up)
    up.add_argument("--profile", help="by default the largest that fits this machine")
    up.set_defaults(run=_up)

    status = commands.add_parser("status", help="how each component is now")
    _named(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    down = commands.add_parser("down", help="remove cluster, containers, network and files")
    _named(down)
    down.set_defaults(run=_down)

    heal = commands.add_parser("heal", help="undo faults that a killed run left behind")
    _named(heal)
    heal.set_defaults(run=_heal)

    test = commands.add_parser(
        "test", help="stand up as needed, run the suites, write the report, remove what was made"
    )
    running.configure(test)
    test.set_defaults(run=running.run)

    broken = commands.add_parser("sabotage", help="break the platform; want the named tests red")
    sabotage.configure(broken)
    broken.set_defaults(run=sabotage.run)

    figures = commands.add_parser("bench", help="figures with their floor in the same run")
    bench.configure(figures)
    figures.set_defaults(run=bench.run)

    report.configure(commands)
    return parser


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=stack.DEFAULT_NAME, help="of the cluster (%(default)s)")


def _images(options: argparse.Namespace) -> int:
    def ca_file() -> Path:
        catalogue, _ = stack.images_for(Profile.load("minimal", stack.TREE), stack.TREE)
        return stack.start_registry(catalogue).ca_file

    return images.run(options, stack.TREE, ca_file)


def _up(options: argparse.Namespace) -> int:
    chosen = options.profile or _best_profile()
    started = time.monotonic()
    with progress.shown() as say:
        platform = stack.stand_up(options.name, chosen, progress=say)
    print(f"{options.name}: profile {chosen} is up after {time.monotonic() - started:.1f} s")
    print(f"front door: {platform.origin} (its CA: {platform.ca_file})")
    return 0


def _best_profile() -> str:
    found = environment.fits(environment.look(), stack.TREE)
    chosen = environment.best(found)
    if not chosen:
        raise UsageError("no profile fits this machine; see: infraforge doctor")
    return chosen


def _status(options: argparse.Namespace) -> int:
    platform = stack.attach(options.name)
    rows = platform.status()
    fine = all(row.fine for row in rows)
    if options.json:
        print(json.dumps([vars(row) | {"fine": row.fine} for row in rows], indent=1))
        return 0 if fine else 1
    table = Table(box=None)
    for title in ("component", "ready", "restarts", "images", "trouble"):
        table.add_column(title)
    for row in rows:
        short = ", ".join(image.split("@")[0].split("/")[-1] for image in row.images)
        ready = f"{row.ready}/{row.wanted}"
        table.add_row(row.name, ready, str(row.restarts), short, row.trouble)
    Console().print(table)
    print(f"profile {platform.profile.name}, front door {platform.origin}")
    return 0 if fine else 1


def _down(options: argparse.Namespace) -> int:
    removed = stack.tear_down(options.name)
    for item in removed:
        print(f"removed {item}")
    if not removed:
        print(f"nothing of {options.name!r} is here")
    return 0


def _heal(options: argparse.Namespace) -> int:
    undone = sabotage.heal(options.name)
    platform = stack.attach(options.name)
    with contextlib.closing(platform.site) as site:
        undone += nemesis.heal(site)
    for item in undone:
        print(f"undone: {item}")
    if not undone:
        print("no fault is open, no sabotage either")
    return 0
