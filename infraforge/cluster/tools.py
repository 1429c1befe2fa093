"""The cluster's command-line tools: the very ones built from the pinned modules."""

from __future__ import annotations

import shutil
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
    """The `kubectl` program: ours, else this machine's; UsageError when there is neither.

    A machine from which a cluster of somebody else's is used need not compile Kubernetes.
    """
    try:
        return _find(tree, "kubernetes", "kubectl")
    except UsageError:
        found = shutil.which("kubectl")
        if found is None:
            raise
        return Path(found)


def built(tree: Path) -> dict[str, Path]:
    """Each program, as built or imported; UsageError for one that is neither."""
    return {"kind": kind(tree), "kubectl": _find(tree, "kubernetes", "kubectl")}


def places(tree: Path) -> dict[str, Path]:
    """Where programs that were built elsewhere are put."""
    modules = {"kind": "kind", "kubectl": "kubernetes"}
    return {program: _place(tree, module, program) for program, module in modules.items()}


def missing(tree: Path) -> list[str]:
    """The modules to compile, as their programs are not here."""
    lacking = []
    for module, program in zip(MODULES, ("kind", "kubectl"), strict=True):
        try:
            _find(tree, module, program)
        except UsageError:
            lacking.append(module)
    return lacking


def _find(tree: Path, module: str, program: str) -> Path:
    compiled = cache_dir() / "go" / module / _hash(tree, module) / "bin" / program
    for path in (compiled, _place(tree, module, program)):
        if path.exists():
            return path
    raise UsageError(f"{program} is not built; run: infraforge images build")


def _place(tree: Path, module: str, program: str) -> Path:
    return cache_dir() / "tools" / _hash(tree, module)[:12] / program


def _hash(tree: Path, module: str) -> str:
    return golang.hash_of(tree / "images" / "modules" / module)
