"""Assembles the build folder of an image: recipe, Go programs, Python packages, apps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infraforge.images import golang
from infraforge.images.catalogue import Catalogue, Image, files
from infraforge.images.steps import Steps

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
"""Wheels that work with the glibc of Debian trixie."""


def assemble(
    image: Image,
    catalogue: Catalogue,
    programs: Sequence[golang.Built],
    context: Path,
    steps: Steps,
) -> None:
    """Fill `context`, an empty folder, as the catalogue's head describes.

    Raises BuildError when packages cannot be fetched or the front end cannot be built.
    """
    recipe = catalogue.recipe_dir(image)
    _copy(recipe, context)
    for built in programs:
        for name, path in built.programs.items():
            _put(path, context / "bin" / name)
        for name, path in built.files.items():
            if path.is_dir():
                shutil.copytree(path, context / "files" / name)
            else:
                _put(path, context / "files" / name)
    for app in image.apps:
        _copy(catalogue.tree / app, context / Path(app).name)
    if image.python:
        _pip(recipe / image.python, context / "pylib", steps)
    if image.npm:
        _npm(catalogue.tree / image.npm, context, steps)
    _readable(context)


def _copy(folder: Path, target: Path) -> None:
    for path in files(folder):
        _put(path, target / path.relative_to(folder))


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _readable(context: Path) -> None:
    """Set the modes of files in an image: the builder's umask must not show in it."""
    for path in context.rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)


def _pip(requirements: Path, target: Path, steps: Steps) -> None:
    argv = [_python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    argv += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"]
    argv += ["--python-version=3.13", "--implementation=cp", f"--target={target}"]
    argv += [f"--platform={platform}" for platform in _PLATFORMS]
    steps.run("install Python packages", [*argv, "-r", str(requirements)], target.parent)


def _python() -> str:
    """An interpreter with pip: this one, or else the machine's (tox environments may lack it)."""
    argv = [sys.executable, "-m", "pip", "--version"]
    probe = subprocess.run(argv, capture_output=True, check=False)
    return sys.executable if probe.returncode == 0 else "python3"


def _npm(source: Path, context: Path, steps: Steps) -> None:
    work = context.parent / "npm"
    _copy(source, work)
    steps.run("npm ci", ["npm", "ci", "--no-audit", "--no-fund"], work)
    steps.run("npm run build", ["npm", "run", "build"], work)
    shutil.copytree(work / "dist", context / "dist")
