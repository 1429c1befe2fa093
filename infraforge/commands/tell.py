"""The commands that only tell: list, env, password, completion."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import shtab
from rich.console import Console
from rich.table import Table

from infraforge import stack
from infraforge.cluster import state, tools
from infraforge.cluster.base import Presence
from infraforge.cluster.existing import OtherCluster
from infraforge.commands import options as common
from infraforge.components import vault_identity
from infraforge.components.vault_identity import Identities
from infraforge.errors import InfraForgeError, UsageError
from infraforge.note import Note
from infraforge.profile import names as profiles
from infraforge.sabotage import case
from infraforge.sabotage.command import CASES

_SHELLS = ("bash", "zsh", "fish")
_AT_ONCE = 8
_HOW_TO_COMPLETE = """\
bash:  infraforge completion bash > ~/.local/share/bash-completion/completions/infraforge
zsh:   infraforge completion zsh > ~/.zfunc/_infraforge     (with ~/.zfunc in fpath)
fish:  infraforge completion fish > ~/.config/fish/completions/infraforge.fish
"""


@dataclass(frozen=True)
class Listed:
    """One platform of this machine.

    where: the KIND cluster or the context it is on; state: answers, silent or absent; since: when
    it was begun (UTC, ISO 8601); trouble: why it is not fully known, "" where it is.
    """

    name: str
    profile: str
    where: str
    state: str
    since: str
    trouble: str = ""


def configure(commands: Any, whole: argparse.ArgumentParser) -> None:
    """Add the commands to the subparsers; each sets `run`. whole: what completion is for."""
    list_parser = commands.add_parser("list", help="the platforms of this machine")
    list_parser.add_argument("--json", action="store_true", help="for programs")
    list_parser.set_defaults(run=_list)

    env_parser = commands.add_parser(
        "env",
        help="where a platform is, as shell variables",
        epilog='use it:  eval "$(infraforge env)"; "$INFRAFORGE_KUBECTL" get pods --all-namespaces',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.platform(env_parser)
    env_parser.add_argument("--json", action="store_true", help="as JSON, not as shell variables")
    env_parser.set_defaults(run=_env)

    password_parser = commands.add_parser(
        "password", help="print the password of one of the platform's own users, and nothing else"
    )
    password_parser.add_argument("user", metavar="USER", help="of identity.toml: ada, for instance")
    common.platform(password_parser)
    password_parser.set_defaults(run=_password)

    completion_parser = commands.add_parser(
        "completion",
        help="print a shell's completion script",
        epilog=_HOW_TO_COMPLETE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion_parser.add_argument("shell", choices=_SHELLS)
    completion_parser.set_defaults(run=lambda options: _completion(options.shell, whole))


def _list(options: argparse.Namespace) -> int:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = list(pool.map(listed, state.names()))
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    if not rows:
        print("no platform is here; stand one up: infraforge up", file=sys.stderr)
        return 0
    table = Table(box=None)
    for title in ("name", "profile", "where", "state", "since"):
        table.add_column(title)
    for row in rows:
        table.add_row(row.name, row.profile, row.where, row.state, row.since)
    Console().print(table)
    for row in rows:
        if row.trouble:
            print(f"{row.name}: {row.trouble}")
    return 0


def listed(name: str) -> Listed:
    """What is known of the platform of this name; whatever is wrong with it is said, not raised."""
    since = _since(name)
    try:
        note = Note.read(name)
    except InfraForgeError as error:
        return Listed(name, "", "", Presence.SILENT.value, since, str(error))
    where = f"KIND {name}"
    if note and note.brought:
        where = f"{note.brought.context} at {note.brought.server}"
    profile = note.profile if note else ""
    found, trouble = _presence(name, note)
    if note is None:
        trouble = f"it was never whole; go on: infraforge up --name {name}, or: infraforge down"
    return Listed(name, profile, where, found.value, since, trouble)


def _presence(name: str, note: Note | None) -> tuple[Presence, str]:
    """Which of the three answers its cluster gives, and why not the first."""
    try:
        cluster = stack.cluster_of(name, note)
        there = cluster.presence()
    except OtherCluster as error:
        return Presence.ABSENT, str(error)
    except InfraForgeError as error:
        return Presence.SILENT, str(error)
    if there is Presence.ANSWERS:
        return there, ""
    if there is Presence.ABSENT:
        gone = f"its nodes are gone; remove what is left: infraforge down --name {name}"
        return there, gone
    return there, f"{cluster.trouble}; start it again: infraforge up --name {name}"


def _since(name: str) -> str:
    """When the platform was begun: the age of the oldest of its files."""
    folder = state.cluster_dir(name)
    with contextlib.suppress(OSError):
        oldest = min(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(oldest))
    return ""


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


def _password(options: argparse.Namespace) -> int:
    known = _users()
    if options.user not in known:
        raise UsageError(f"there is no user {options.user!r}; there are: {', '.join(known)}")
    platform = stack.attach(common.name_of(options))
    with contextlib.closing(platform.site) as site:
        print(vault_identity.password(site, options.user))
    return 0


def _users() -> list[str]:
    return [user.name for user in Identities.load(stack.TREE).users]


def _completion(shell: str, whole: argparse.ArgumentParser) -> int:
    for parser, action in _actions(whole):
        if action.dest == "profile":
            action.choices = profiles(stack.TREE)
        elif action.dest == "user":
            action.choices = _users()
        elif action.dest == "names" and parser.prog.endswith(" sabotage"):
            action.choices = case.names(CASES)
        elif _is_path(action):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(whole, shell=shell))
    return 0


def _actions(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    """The options of a parser and of all below it, each with the parser that has it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in {id(one): one for one in action.choices.values()}.values():
                yield from _actions(below)
        else:
            yield parser, action


def _is_path(action: argparse.Action) -> bool:
    return action.type is Path or getattr(action.type, "__name__", "") in (
        "readable_file",
        "writable_file",
        "folder",
    )
