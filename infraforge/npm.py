"""npm packages that the harness uses: pinned, installed once into the cache, then offline."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infraforge.errors import Inconclusive, UsageError
from infraforge.images.cache import cache_dir

_FILES = ("package.json", "package-lock.json")
_INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
_SECONDS = 600


class NotInstalled(Inconclusive):
    """npm did not install the pinned packages; has its last lines."""


def installed(pinned: Path, name: str) -> Path:
    """The `node_modules` for the lock file in `pinned`, installed if needed; kept under `name`.

    npm checks every file against the lock, and runs no install script of any package. Concurrent
    processes may ask for the same.
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
        run(_INSTALL, work, _SECONDS, NotInstalled)
        try:
            work.rename(folder)
        except OSError:
            if not modules.exists():  # else another process was first
                raise
    return modules


def run(command: Sequence[str], folder: Path, within: float, failed: type[Exception]) -> str:
    """The output of a command of npm or Node, run in `folder`.

    within: seconds. Raises `failed` when it does not succeed by then; UsageError where it is
    missing.
    """
    told = " ".join(command[:3])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{command[0]} is missing; run: infraforge doctor") from error
    except subprocess.TimeoutExpired as error:
        raise failed(f"{told} did not end within {within:g} s") from error
    if done.returncode:
        raise failed(f"{told} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout
