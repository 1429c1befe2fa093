"""Where images and what is known of them are kept: `~/.cache/infraforge`."""

from __future__ import annotations

import os
from pathlib import Path

from infraforge.errors import UsageError


def cache_dir() -> Path:
    """`~/.cache/infraforge`, or what INFRAFORGE_CACHE says."""
    chosen = os.environ.get("INFRAFORGE_CACHE")
    if chosen:
        return Path(chosen).absolute()
    try:
        return Path.home() / ".cache" / "infraforge"
    except RuntimeError as error:  # no HOME, and no entry among the users either
        raise UsageError(
            "this user has no home folder; say by INFRAFORGE_STATE and INFRAFORGE_CACHE "
            "where files are to be"
        ) from error


def log_path(name: str) -> Path:
    """The log of an image's build and push; its folder exists."""
    folder = cache_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def image_dir(name: str) -> Path:
    """The folder of an image's records, lock and unfinished work; it exists."""
    folder = cache_dir() / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
