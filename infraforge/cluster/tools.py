"""The cluster's command-line tools: the very ones built from the pinned modules."""

from __future__ import annotations

from pathlib import Path

from infraforge.errors import UsageError
from infraforge.images import golang
from infraforge.images.cache import cache_dir

MODULES = ("kind", "kubernetes")
"""The modules they come from."""


def kind(tree: Path) -> Path:
    """The `kind` program; UsageError when it is not built."""
    return _find(tree, "kind", "kind")


def kubectl(tree: Path) -> Path:
    """The `kubectl` program; UsageError when it is not built."""
    return _find(tree, "kubernetes", "kubectl")


def _find(tree: Path, module: str, program: str) -> Path:
    module_dir = tree / "images" / "modules" / module
    path = cache_dir() / "go" / module / golang.hash_of(module_dir) / "bin" / program
    if not path.exists():
        raise UsageError(f"{program} is not built; run: infraforge images build")
    return path
