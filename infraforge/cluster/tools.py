"""The cluster's command-line tools, as built from the pinned modules."""

from __future__ import annotations

import shutil
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.images import golang
from infraforge.images.cache import cache_dir

MODULES = ("kind", "kubernetes")
"""The Go modules they are built from."""


def kind(tree: Path) -> Path:
    """The `kind` program; UsageError if it is not built."""
    return _find(tree, "kind", "kind")


def kubectl(tree: Path) -> Path:
    """Our `kubectl`, else the one on the PATH; UsageError if there is neither.

    A machine that only uses a cluster the user brings need not compile Kubernetes.
    """
    try:
        return _find(tree, "kubernetes", "kubectl")
    except UsageError:
        on_path = shutil.which("kubectl")
        if on_path is None:
            raise
        return Path(on_path)


def built(tree: Path) -> dict[str, Path]:
    """Program name → its path, built or imported; UsageError if one is missing."""
    return {"kind": kind(tree), "kubectl": _find(tree, "kubernetes", "kubectl")}


def places(tree: Path) -> dict[str, Path]:
    """Where to put programs that were built elsewhere."""
    modules = {"kind": "kind", "kubectl": "kubernetes"}
    return {program: _place(tree, module, program) for program, module in modules.items()}


def missing(tree: Path) -> list[str]:
    """The modules that must be compiled because their programs are missing here."""
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
    raise UsageError(f"{program} is not built here; run: infraforge images build")


def _place(tree: Path, module: str, program: str) -> Path:
    return cache_dir() / "tools" / _hash(tree, module)[:12] / program


def _hash(tree: Path, module: str) -> str:
    return golang.hash_of(tree / "images" / "modules" / module)
