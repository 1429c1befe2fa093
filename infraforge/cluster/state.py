"""Where a run keeps what must outlive its process, and the lock that makes runs take turns."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from infraforge.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


def state_dir() -> Path:
    """`~/.local/state/infraforge`, or what INFRAFORGE_STATE says."""
    chosen = os.environ.get("INFRAFORGE_STATE")
    return Path(chosen).absolute() if chosen else _home() / ".local" / "state" / "infraforge"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:  # no HOME, and no entry among the users either
        raise UsageError(
            "this user has no home folder; say by INFRAFORGE_STATE and INFRAFORGE_CACHE "
            "where files are to be"
        ) from error


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
    """Remove the locks of a cluster that is gone, and folders that are empty by now."""
    for lock in locks_dir().glob(f"{name}.*"):
        lock.unlink(missing_ok=True)
    for folder in (state_dir() / "locks", state_dir() / "clusters", state_dir()):
        with contextlib.suppress(OSError):  # not empty: another run's
            folder.rmdir()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cluster `name` for changing it; UsageError naming who holds it already."""
    with (locks_dir() / f"{name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise UsageError(
                f"cluster {name!r} is being changed by {holder}; wait for it, or use --name"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield
