"""Where a run keeps what must outlive its process, and the locks that make runs take turns.

Lock files, in `locks_dir()`. Who wants several takes them in this order:

    NAME.users    who uses a platform: shared by runs, alone for removing it (see `users`)
    NAME.lock     who changes a cluster or what is on it
    NAME.heal     who undoes faults that were left open
    NAME.gate, NAME.turn   whose turn it is to test (see `turns`)
    _machine      what all clusters of a machine share: shared while it is used, alone for removal
    _registry     who starts the registry, or makes its CA
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
# no cluster can be named like these
_MACHINE = "_machine"
_REGISTRY = "_registry"


def state_dir() -> Path:
    """`~/.local/state/infraforge`, or what INFRAFORGE_STATE says."""
    return folders.state()


def cluster_dir(name: str) -> Path:
    """The folder of one cluster's files; UsageError for a name KIND would refuse."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"cluster name {name!r}: lower-case letters, digits and dashes only")
    return state_dir() / "clusters" / name


def registry_ca_dir() -> Path:
    """Where the CA is kept that vouches for what the clusters of this machine share."""
    return state_dir() / "ca"


def names() -> list[str]:
    """Names of the clusters of which there are files."""
    folder = state_dir() / "clusters"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def locks_dir() -> Path:
    """Where the lock files of this machine are, `NAME.lock` and the like; it exists."""
    folder = state_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def forget(name: str) -> None:
    """Remove the locks of a cluster that is gone, and folders that are empty by now.

    What somebody holds stays: it is that one's to remove.
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
    """Hold the cluster `name` for changing it; UsageError naming who holds it already."""
    cluster_dir(name)  # a name that is none is told here
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
    """Keep what the clusters of this machine share (registry, its CA, network) while it is used."""
    with locks.held(locks_dir() / _MACHINE, shared=True):
        yield


@contextlib.contextmanager
def alone_on_machine() -> Iterator[bool]:
    """Whether nobody uses what the clusters of this machine share; nobody begins to meanwhile."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.held(locks_dir() / _MACHINE, wait=False))
        except locks.Busy:
            yield False
            return
        yield True


@contextlib.contextmanager
def starting_registry() -> Iterator[None]:
    """One process at a time makes the shared CA and starts the registry; others wait for it."""
    with locks.held(locks_dir() / _REGISTRY):
        yield


@contextlib.contextmanager
def healing(name: str) -> Iterator[None]:
    """One process at a time undoes what was left open on a platform; others wait for it."""
    with locks.held(locks_dir() / f"{name}.heal"):
        yield
