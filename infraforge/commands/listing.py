"""`infraforge list`: the platforms of this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from infraforge import stack
from infraforge.cluster import state
from infraforge.cluster.base import Presence
from infraforge.cluster.existing import OtherCluster
from infraforge.errors import InfraForgeError
from infraforge.note import Note

_AT_ONCE = 8


def configure(commands: Any) -> None:
    """Add the command to the subparsers; it sets `run`."""
    parser = commands.add_parser("list", help="the platforms of this machine")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_list)


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
