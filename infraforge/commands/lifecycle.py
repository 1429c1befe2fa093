"""The commands of a platform's life: up, status, heal, certificates, down."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from infraforge import arguments, brought, certificates, environment, healing, progress, stack
from infraforge.cluster import users
from infraforge.cluster.kind_config import HTTP_NODE_PORT
from infraforge.commands import options as common
from infraforge.errors import UsageError
from infraforge.images import sources
from infraforge.profile import Profile

_ONLY_BROUGHT = ("kubeconfig", "context", "yes", "origin", "http_port", "registry", "by_hand")


def configure(commands: Any) -> None:
    """Add the commands to the subparsers; each sets `run`."""
    _configure_up(commands.add_parser("up", help="stand the platform up, or find it running"))

    status_parser = commands.add_parser("status", help="how each component is now")
    common.platform(status_parser)
    status_parser.add_argument("--json", action="store_true", help="for programs")
    status_parser.set_defaults(run=_status)

    down_parser = commands.add_parser("down", help="remove cluster, containers, network and files")
    common.platform(down_parser)
    down_parser.add_argument(
        "--forget", action="store_true", help="a cluster you brought is gone: only files here"
    )
    down_parser.add_argument("--force", action="store_true", help="also while test runs use it")
    down_parser.set_defaults(run=_down)

    heal_parser = commands.add_parser("heal", help="undo faults that a killed run left behind")
    common.platform(heal_parser)
    heal_parser.set_defaults(run=_heal)

    certificates_parser = commands.add_parser("certificates", help="look at them; renew them")
    certificates.configure(certificates_parser)
    common.platform(certificates_parser)
    certificates_parser.set_defaults(run=_certificates)


def _configure_up(parser: argparse.ArgumentParser) -> None:
    common.platform(parser)
    parser.add_argument("--profile", help="by default the largest that fits this machine")
    parser.add_argument(
        "--images",
        choices=sources.HOW,
        default="auto",
        help="build them, pull what can be, or whatever is quickest (%(default)s)",
    )
    parser.add_argument(
        "--renew-certificates",
        nargs="*",
        metavar="COMPONENT",
        help="make theirs anew (of all, if none is named); see: infraforge certificates",
    )
    yours = parser.add_argument_group("with --cluster existing")
    yours.add_argument(
        "--kubeconfig", type=arguments.readable_file, help="of the cluster you bring"
    )
    yours.add_argument("--context", help="which of its contexts; by default the current one")
    yours.add_argument("--yes", action="store_true", help="do not ask before it is touched")
    yours.add_argument(
        "--origin",
        type=arguments.origin,
        metavar="https://HOST:PORT",
        help="URL of the front door, as users find it",
    )
    yours.add_argument(
        "--http-port", type=arguments.port, metavar="PORT", help=f"({HTTP_NODE_PORT})"
    )
    yours.add_argument(
        "--registry", type=arguments.registry, metavar="PREFIX", help="where nodes pull images"
    )
    yours.add_argument(
        "--by-hand", action="store_true", help="you apply what `infraforge render` writes"
    )
    parser.set_defaults(run=_up)


def _up(options: argparse.Namespace) -> int:
    name = common.name_of(options)
    odd = [given for given in _ONLY_BROUGHT if getattr(options, given) not in (None, False)]
    if odd and options.cluster != "existing":
        raise UsageError(f"--{odd[0].replace('_', '-')} goes with --cluster existing")
    chosen = _best_profile() if options.profile is None else options.profile
    profile = stack.deployable(chosen, stack.TREE)
    renewing = _renewing(options, profile)
    started = time.monotonic()
    users.refuse_alone(name, "infraforge up")
    healing.before_run_aloud(
        name
    )  # before: what is paused or scaled to nothing would not get ready
    if options.cluster == "existing":
        platform = _up_existing(options, name, profile, renewing)
    else:
        with progress.shown() as say:
            platform = stack.stand_up(
                name,
                profile,
                progress=say,
                images=options.images,
                renew=renewing,
            )
    healing.before_run_aloud(name)  # and after, where it did not answer before
    print(f"{name}: profile {profile.name} is up after {time.monotonic() - started:.1f} s")
    _tell_of_ca(name)
    print(f"front door: {platform.origin} (its CA: {platform.ca_file})")
    return 0


def _up_existing(
    options: argparse.Namespace, name: str, profile: Profile, renewing: frozenset[str]
) -> stack.Platform:
    wish = brought.Wish(
        profile,
        options.kubeconfig,
        options.context,
        options.origin or "",
        options.http_port or HTTP_NODE_PORT,
        options.registry or "",
        options.by_hand,
        renewing,
    )
    with contextlib.ExitStack() as shown:

        def say(what: str, step: str) -> None:
            # the board is opened only once the question has been answered
            if not boards:
                boards.append(shown.enter_context(progress.shown()))
            boards[0](what, step)

        boards: list[progress.Progress] = []
        return brought.stand_up(name, wish, _asker(options.yes), progress=say)


def _renewing(options: argparse.Namespace, profile: Profile) -> frozenset[str]:
    if options.renew_certificates is None:
        return frozenset()
    known = frozenset(profile.components)
    odd = sorted(set(options.renew_certificates) - known)
    if odd:
        raise UsageError(
            f"profile {profile.name!r} has no component {odd[0]!r}; "
            f"it has: {', '.join(sorted(known))}"
        )
    return frozenset(options.renew_certificates) or known


def _asker(yes: bool) -> Callable[[str], bool]:
    def agreed(question: str) -> bool:
        print(question, flush=True)
        if yes:
            return True
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError("nobody is there to agree; say --yes if it is so wanted")
        try:
            return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:  # Ctrl-D
            return False

    return agreed


def _best_profile() -> str:
    found = environment.fits(environment.look(), stack.TREE)
    chosen = environment.best(found)
    if not chosen:
        raise UsageError("no profile fits this machine; see: infraforge doctor")
    return chosen


def _status(options: argparse.Namespace) -> int:
    platform = stack.attach(common.name_of(options))
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
    if words := healing.half_changed(name):
        print(f"its CA {words}")


def _certificates(options: argparse.Namespace) -> int:
    options.name = common.name_of(options)
    return certificates.run(options)


def _down(options: argparse.Namespace) -> int:
    name = common.name_of(options)
    if brought.is_brought(name):
        removed = brought.tear_down(name, forget=options.forget, force=options.force)
    elif options.forget:
        raise UsageError(
            f"--forget is for a cluster you brought; {name!r} is none: infraforge down "
            f"--name {name} removes it"
        )
    else:
        removed = stack.tear_down(name, force=options.force)
    for item in removed:
        print(f"removed {item}")
    if not removed:
        print(f"nothing of {name!r} is here")
    return 0


def _heal(options: argparse.Namespace) -> int:
    name = common.name_of(options)
    undone = healing.everything(name)
    for item in undone:
        print(f"undone: {item}")
    if not undone:
        print("no fault is open, no sabotage either")
    return 0
