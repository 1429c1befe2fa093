"""Where images and their records are kept: `~/.cache/infraforge`."""

from __future__ import annotations

import os
from pathlib import Path

from infraforge import places


def cache_dir() -> Path:
    """`~/.cache/infraforge`, or the value of INFRAFORGE_CACHE."""
    chosen = os.environ.get("INFRAFORGE_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return places.home() / ".cache" / "infraforge"


def log_path(name: str) -> Path:
    """The log of an image's build and push; its folder is created if missing."""
    folder = cache_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def image_dir(name: str) -> Path:
    """The folder of an image's records, lock and unfinished work, created if missing."""
    folder = cache_dir() / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
