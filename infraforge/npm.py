"""Packages of npm that the harness uses: pinned, installed once into the cache, then offline."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from infraforge.errors import Inconclusive, UsageError
from infraforge.images.cache import cache_dir

_FILES = ("package.json", "package-lock.json")
_INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
_SECONDS = 600


class NotInstalled(Inconclusive):
    """npm did not install what is pinned; says its last lines."""


def installed(pinned: Path, name: str) -> Path:
    """The `node_modules` in which is what the lock file in `pinned` says; kept under `name`.

    npm checks every file against the lock; nothing of a package is run to install it. Processes
    side by side may ask for the same.
    """
    digest = hashlib.sha256(b"".join((pinned / file).read_bytes() for file in _FILES))
    folder = cache_dir() / name / digest.hexdigest()[:16]
    modules = folder / "node_modules"
    if modules.exists():
        return modules
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as aside:
        work = Path(aside) / "work"
        work.mkdir()
        for file in _FILES:
            shutil.copyfile(pinned / file, work / file)
        _install(work)
        try:
            work.rename(folder)
        except OSError:
            if not modules.exists():  # else another process was first
                raise
    return modules


def _install(folder: Path) -> None:
    try:
        done = subprocess.run(
            _INSTALL,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError("npm is missing; run: infraforge doctor") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"npm ci did not end within {_SECONDS} s") from error
    if done.returncode:
        raise NotInstalled(f"npm ci ended with {done.returncode}:\n{done.stdout[-2000:]}")
