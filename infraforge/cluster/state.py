"""Where files that outlive a process are kept, and the locks that make runs take turns.

Lock files, in `locks_dir()`. A process that needs several takes them in this order:

    NAME.users    users of a platform: runs share it, removal holds it alone (see `users`)
    NAME.lock     whoever changes a cluster or its contents
    NAME.heal     whoever undoes faults that were left open
    NAME.gate, NAME.turn   whose turn it is to test (see `turns`)
    _machine      what a machine's clusters share: users share it, removal holds it alone
    _registry     whoever starts the registry, or creates its CA
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from infraforge import folders, locks
from infraforge.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
# cluster names cannot begin with an underscore, so these never collide with one
_MACHINE = "_machine"
_REGISTRY = "_registry"


def state_dir() -> Path:
    """`~/.local/state/infraforge`, or what INFRAFORGE_STATE says."""
    return folders.state()


def cluster_dir(name: str) -> Path:
    """The folder of one cluster's files; UsageError for a name KIND would refuse."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"cluster name {name!r} is not valid: use lower-case letters, digits and dashes only"
        )
    return state_dir() / "clusters" / name


def registry_ca_dir() -> Path:
    """The folder of the CA for what the clusters of this machine share."""
    return state_dir() / "ca"


def names() -> list[str]:
    """Names of the clusters that have files here."""
    folder = state_dir() / "clusters"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def locks_dir() -> Path:
    """The folder of this machine's lock files (`NAME.lock` and the like), created if missing."""
    folder = state_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def forget(name: str) -> None:
    """Remove the locks of a cluster that is gone, and folders that are now empty.

    A lock that another process holds stays: that process removes it.
    """
    folder = state_dir() / "locks"
    if folder.is_dir():
        others = [] if names() else [folder / _MACHINE, folder / _REGISTRY]
        for lock in [*sorted(folder.glob(f"{name}.*")), *others]:
            locks.remove(lock)
    for empty in (folder, state_dir() / "clusters", state_dir()):
        with contextlib.suppress(OSError):  # not empty: another run's
            empty.rmdir()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cluster `name` for a change; UsageError naming the process that holds it already."""
    cluster_dir(name)  # reject an invalid name here
    try:
        with locks.held(locks_dir() / f"{name}.lock", wait=False, says=f"process {os.getpid()}"):
            yield
    except locks.Busy as busy:
        raise UsageError(
            f"cluster {name!r} is being changed by {busy.holder or 'another process'}; "
            f"wait for it, or use --name"
        ) from None


@contextlib.contextmanager
def sharing_machine() -> Iterator[None]:
    """Keep what the clusters of this machine share (registry, its CA, network) during the block."""
    with locks.held(locks_dir() / _MACHINE, shared=True):
        yield


@contextlib.contextmanager
def alone_on_machine() -> Iterator[bool]:
    """True where nobody uses what the machine's clusters share; nobody can begin meanwhile."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.held(locks_dir() / _MACHINE, wait=False))
        except locks.Busy:
            yield False
            return
        yield True


@contextlib.contextmanager
def starting_registry() -> Iterator[None]:
    """One process at a time creates the shared CA and starts the registry; others wait."""
    with locks.held(locks_dir() / _REGISTRY):
        yield


@contextlib.contextmanager
def healing(name: str) -> Iterator[None]:
    """One process at a time undoes faults left open on a platform; others wait."""
    with locks.held(locks_dir() / f"{name}.heal"):
        yield
