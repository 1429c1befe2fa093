"""Remove a platform, and what the platforms of this machine share once none is left."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from infraforge import interrupts
from infraforge.cluster import kind, registry, state
from infraforge.cluster.users import Use
from infraforge.errors import UsageError
from infraforge.note import Note
from infraforge.stack import known
from infraforge.stack.platform import TREE


def tear_down(name: str, tree: Path = TREE, *, force: bool = False) -> list[str]:
    """Remove cluster, containers, network and files of this name; what was removed, in words.

    Raises UsageError for a cluster that the user brought (that one is not ours to remove), and
    for a platform that runs use now, naming them; force: in spite of those.
    """
    _refuse_brought(name)
    with contextlib.ExitStack() as held:
        if not force:
            held.enter_context(Use(name, "infraforge down", "say --force").alone())
        held.enter_context(interrupts.undisturbed())
        with state.locked(name):
            removed = remove(kind.Kind(name, tree))
    state.forget(name)
    return removed


def leave(use: Use, tree: Path = TREE) -> list[str]:
    """End a run's use of a platform; what was removed, in words.

    The last one removes a platform that was not stood up to stay. One that somebody is changing
    just now is that one's. Interrupts wait until it is done. Raises UsageError or ClusterError
    where it cannot be removed.
    """
    removed: list[str] = []
    with interrupts.undisturbed():
        with use.last() as last, contextlib.ExitStack() as held:
            found = Note.read(use.name) if last else None
            if found and not found.keep and not found.brought:
                mine = False
                with contextlib.suppress(UsageError):  # it is being changed
                    held.enter_context(state.locked(use.name))
                    mine = True
                if mine and not known.stays(use.name):  # now that nobody can change it
                    removed = remove(kind.Kind(use.name, tree))
        if not state.cluster_dir(use.name).exists():
            state.forget(use.name)
    return removed


def remove(cluster: kind.Kind) -> list[str]:
    """Remove a cluster, and what platforms share once none is left; what was removed, in words."""
    return [*cluster.delete(), *remove_shared()]


def remove_shared() -> list[str]:
    """Remove registry and its CA unless a platform lives by them; what was removed, in words.

    They stay as well where another process uses them now, building images for instance.
    """
    with state.alone_on_machine() as alone:
        if not alone or state.names():
            return []
        removed = []
        if (state.state_dir() / "registry").exists():  # else there was no need of a runtime
            removed += registry.remove()
        folder = state.registry_ca_dir()
        if folder.exists():
            shutil.rmtree(folder)
            removed.append(f"files in {folder}")
        return removed


def _refuse_brought(name: str) -> None:
    found = Note.read(name)
    if found and found.brought:
        raise UsageError(f"{name!r} is a cluster you brought; use: infraforge down --name {name}")
