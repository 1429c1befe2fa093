"""Disk space: checked before a build, given back after it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

from infraforge.errors import UsageError
from infraforge.images import golang
from infraforge.images.cache import cache_dir
from infraforge.images.catalogue import Catalogue, Image

_IMAGES_GB = 8
"""All images of the catalogue, unpacked, and archived for the registry."""
_MODULE_GB = 2.5
"""A module not compiled yet: sources and Go's build cache took 31 GB for thirteen modules."""
_SCARCE_GB = 20
"""Below this, Go's build cache is deleted after compiling: only a changed module needs it again."""
_BUILDKIT_GB = 3
_KEPT = 6
"""Contents kept of one image: the present one, those of patched copies, earlier ones."""


def check_room(todo: Iterable[Image], catalogue: Catalogue) -> None:
    """Raise UsageError when the disk is too small to build these images."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    modules = {module for image in todo for module in image.modules}
    cold = [module for module in modules if not compiled(module, catalogue)]
    needed = _IMAGES_GB + _MODULE_GB * len(cold)
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed:
        raise UsageError(
            f"{folder}: {free:.0f} GB free, but building the images needs {needed:.0f} GB; "
            f"free some, or set INFRAFORGE_CACHE to a folder on a larger disk"
        )


def compiled(module: str, catalogue: Catalogue) -> bool:
    """Whether the module's programs exist for its present content."""
    module_dir = catalogue.module_dir(module)
    return (cache_dir() / "go" / module / golang.hash_of(module_dir) / "bin").is_dir()


def give_back(catalogue: Catalogue) -> None:
    """Remove unused images, and caches that are no longer needed.

    What cannot be removed is in use, for instance by a container, and stays.
    """
    for name in catalogue.images:
        for tag in _tags(name)[_KEPT:]:
            _quietly("image", "rm", tag)
    _quietly("image", "prune", "--force", "--filter", "label=infraforge=image")
    _quietly("builder", "prune", "--force", f"--keep-storage={_BUILDKIT_GB}GB")
    modules = {module for image in catalogue.images.values() for module in image.modules}
    scarce = shutil.disk_usage(cache_dir()).free / 1e9 < _SCARCE_GB
    if scarce and all(compiled(module, catalogue) for module in modules):
        golang.drop_build_cache(cache_dir())


def _tags(name: str) -> list[str]:
    """Local tags of an image's contents, newest first."""
    argv = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"infraforge/{name}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()


def _quietly(*argv: str) -> None:
    subprocess.run(["docker", *argv], capture_output=True, check=False)
