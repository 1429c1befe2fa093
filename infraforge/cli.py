"""The console script `infraforge`. Each command lives with what it commands; this is the door."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from infraforge import (
    bench,
    brought,
    certificates,
    doctor,
    environment,
    healing,
    interrupts,
    render,
    report,
    running,
    sabotage,
    stack,
)
from infraforge.cluster import kind, state, tools, users
from infraforge.errors import InfraForgeError, UsageError
from infraforge.images import build, progress, sources
from infraforge.images import command as images
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile

_EPILOG = """\
exit codes: 0 everything holds · 1 something is broken
            2 unknown (inconclusive, or the suite itself failed)
            3 holds, but for required tests that a cluster you brought cannot show
            64 usage, or a machine that cannot do it

a first run:        ./bootstrap tox -e minimal
step by step:       infraforge doctor; infraforge up --profile minimal; infraforge status;
                    pytest suites --profile minimal; infraforge down
"""


_TOX = "TOX_ENV_NAME"


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args(argv)
    if _TOX in os.environ:
        interrupts.end_with_parent()
    try:
        with interrupts.heeded():
            return int(options.run(options))
    except InfraForgeError as error:
        print(f"infraforge: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # nobody may be left to be told
            print("infraforge: interrupted", file=sys.stderr, flush=True)
            sys.stdout.flush()
        os._exit(130)  # threads that still wait for what is gone hold nobody up


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

    pictures = commands.add_parser(
        "images", help="the catalogue: list, build, push, pull, pin, export, import"
    )
    images.configure(pictures)
    pictures.set_defaults(run=_images)

    up = commands.add_parser("up", help="stand the platform up, or find it running")
    _named(up)
    up.add_argument("--profile", help="by default the largest that fits this machine")
    up.add_argument(
        "--images",
        choices=sources.HOW,
        default="auto",
        help="build them, pull what can be, or whatever is quickest (%(default)s)",
    )
    up.add_argument(
        "--renew-certificates",
        nargs="*",
        metavar="COMPONENT",
        help="make theirs anew (of all, if none is named); see: infraforge certificates",
    )
    yours = up.add_argument_group("with --cluster existing")
    yours.add_argument("--kubeconfig", type=Path, help="of the cluster you bring")
    yours.add_argument("--context", help="which of its contexts; by default the current one")
    yours.add_argument("--yes", action="store_true", help="do not ask before it is touched")
    yours.add_argument("--origin", default="", help="URL of the front door, as users find it")
    yours.add_argument("--http-port", type=int, default=kind.HTTP_NODE_PORT, help="(%(default)s)")
    yours.add_argument("--registry", default="", metavar="PREFIX", help="where nodes pull images")
    yours.add_argument(
        "--by-hand", action="store_true", help="you apply what `infraforge render` writes"
    )
    up.set_defaults(run=_up)

    written = commands.add_parser("render", help="write a profile's manifests out")
    render.configure(written)
    written.set_defaults(run=render.run)

    status = commands.add_parser("status", help="how each component is now")
    _named(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    down = commands.add_parser("down", help="remove cluster, containers, network and files")
    _named(down)
    _removing(down)
    down.set_defaults(run=_down)

    heal = commands.add_parser("heal", help="undo faults that a killed run left behind")
    _named(heal)
    heal.set_defaults(run=_heal)

    identities = commands.add_parser("certificates", help="look at them; renew them")
    certificates.configure(identities)
    _named(identities)
    identities.set_defaults(run=_certificates)

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
    parser.add_argument(
        "--cluster",
        choices=("kind", "existing"),
        default="kind",
        help="one that is made here, or one that you bring (%(default)s)",
    )
    parser.add_argument("--name", type=str, help=f"of it ({stack.DEFAULT_NAME}, or existing)")


def _removing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--forget", action="store_true", help="a cluster you brought is gone: only files here"
    )
    parser.add_argument("--force", action="store_true", help="also while test runs use it")


def _name(options: argparse.Namespace) -> str:
    default = brought.NAME if options.cluster == "existing" else stack.DEFAULT_NAME
    return options.name or default


def _images(options: argparse.Namespace) -> int:
    def ca_file() -> Path:
        catalogue = Catalogue.load(stack.TREE)
        sources.plan(["registry"], catalogue).build()
        return stack.start_registry(catalogue).ca_file

    def programs() -> Mapping[str, Path]:
        build.compile_tools(tools.missing(stack.TREE), Catalogue.load(stack.TREE), progress.silent)
        return tools.built(stack.TREE)

    here = images.Here(ca_file, programs, tools.places(stack.TREE))
    with state.sharing_machine():
        return images.run(options, stack.TREE, here)


_ONLY_BROUGHT = ("kubeconfig", "context", "yes", "origin", "registry", "by_hand")


def _up(options: argparse.Namespace) -> int:
    name, chosen = _name(options), options.profile or _best_profile()
    started = time.monotonic()
    odd = [name for name in _ONLY_BROUGHT if getattr(options, name)]
    if odd and options.cluster != "existing":
        raise UsageError(f"--{odd[0].replace('_', '-')} goes with --cluster existing")
    users.refuse_alone(name, "infraforge up")
    _heal_first(name)  # before: what is paused or scaled to nothing would not get ready
    if options.cluster == "existing":
        platform = _up_existing(options, name, chosen)
    else:
        with progress.shown() as say:
            platform = stack.stand_up(
                name,
                chosen,
                progress=say,
                images=options.images,
                renew=_renewing(options, chosen),
            )
    _heal_first(name)  # and after, where it did not answer before
    print(f"{name}: profile {chosen} is up after {time.monotonic() - started:.1f} s")
    _tell_of_ca(name)
    print(f"front door: {platform.origin} (its CA: {platform.ca_file})")
    return 0


def _heal_first(name: str) -> None:
    for item in healing.before_run(name):
        print(f"undone: {item}", flush=True)


def _up_existing(options: argparse.Namespace, name: str, profile: str) -> stack.Platform:
    wish = brought.Wish(
        profile,
        options.kubeconfig,
        options.context,
        options.origin,
        options.http_port,
        options.registry,
        options.by_hand,
        _renewing(options, profile),
    )
    with contextlib.ExitStack() as shown:

        def say(what: str, step: str) -> None:
            # the board is opened only once the question has been answered
            if not boards:
                boards.append(shown.enter_context(progress.shown()))
            boards[0](what, step)

        boards: list[progress.Progress] = []
        return brought.stand_up(name, wish, _asker(options.yes), progress=say)


def _renewing(options: argparse.Namespace, profile: str) -> frozenset[str]:
    if options.renew_certificates is None:
        return frozenset()
    known = frozenset(Profile.load(profile, stack.TREE).components)
    odd = sorted(set(options.renew_certificates) - known)
    if odd:
        raise UsageError(f"profile {profile!r} has no component {odd[0]!r}")
    return frozenset(options.renew_certificates) or known


def _asker(yes: bool) -> Callable[[str], bool]:
    def agreed(question: str) -> bool:
        print(question, flush=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to agree; say --yes if it is so wanted")
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")

    return agreed


def _best_profile() -> str:
    found = environment.fits(environment.look(), stack.TREE)
    chosen = environment.best(found)
    if not chosen:
        raise UsageError("no profile fits this machine; see: infraforge doctor")
    return chosen


def _status(options: argparse.Namespace) -> int:
    platform = stack.attach(_name(options))
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
    _tell_of_ca(platform.cluster.name)
    return 0 if fine else 1


def _tell_of_ca(name: str) -> None:
    """Say so where its replacement was begun and not finished."""
    if phase := stack.ca_phase(name):
        print(
            f"its CA is being replaced, in phase {phase}; if nobody is at it, go on: "
            f"infraforge certificates renew --ca --name {name}"
        )


def _certificates(options: argparse.Namespace) -> int:
    options.name = _name(options)
    return certificates.run(options)


def _down(options: argparse.Namespace) -> int:
    name = _name(options)
    if brought.is_brought(name):
        removed = brought.tear_down(name, forget=options.forget, force=options.force)
    else:
        removed = stack.tear_down(name, force=options.force)
    for item in removed:
        print(f"removed {item}")
    if not removed:
        print(f"nothing of {name!r} is here")
    return 0


def _heal(options: argparse.Namespace) -> int:
    name = _name(options)
    undone = healing.everything(name)
    platform = stack.attach(name)
    with contextlib.closing(platform.site):
        platform.wait_open()
    for item in undone:
        print(f"undone: {item}")
    if not undone:
        print("no fault is open, no sabotage either")
    return 0
