"""The image catalogue: what images there are, what they are made of, and their content hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from infraforge.errors import UsageError
from infraforge.images import golang

_IGNORED = {"node_modules", "dist", "__pycache__", ".pytest_cache"}


@dataclass(frozen=True)
class Image:
    """One entry of `images.toml`; the keys are explained at the head of that file."""

    name: str
    version: str
    base: str = ""
    debootstrap: str = ""
    modules: tuple[str, ...] = ()
    python: str = ""
    npm: str = ""
    apps: tuple[str, ...] = ()
    recipe: str = ""
    program: str = ""
    system: bool = False
    local: bool = False


@dataclass(frozen=True)
class Catalogue:
    """All images of one `platform/` folder.

    prefix: canonical prefix, e.g. `ghcr.io/tca-infraforge`.
    """

    tree: Path
    prefix: str
    images: Mapping[str, Image]

    @classmethod
    def load(cls, tree: Path) -> Catalogue:
        """Read `TREE/images/images.toml`.

        Raises UsageError naming the entry and the key that is wrong.
        """
        path = tree / "images" / "images.toml"
        try:
            data = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path}: {error}") from error
        images = {name: _entry(path, name, keys) for name, keys in data["images"].items()}
        for image in images.values():
            if image.base and image.base not in images:
                raise UsageError(f"{path}: {image.name}: there is no base {image.base!r}")
        return cls(tree, data["prefix"], images)

    def __getitem__(self, name: str) -> Image:
        try:
            return self.images[name]
        except KeyError:
            known = ", ".join(sorted(self.images))
            raise UsageError(f"there is no image {name!r}; there are: {known}") from None

    def reference(self, name: str) -> str:
        """The canonical `PREFIX/NAME:VERSION`."""
        return f"{self.prefix}/{name}:{self[name].version}"

    def module_dir(self, name: str) -> Path:
        return self.tree / "images" / "modules" / name

    def recipe_dir(self, image: Image) -> Path:
        """The folder whose Dockerfile makes the image."""
        return self.tree / "images" / (image.recipe or image.name)

    def with_bases(self, names: Iterable[str]) -> list[Image]:
        """The named images and all they start from, bases first."""
        ordered: dict[str, Image] = {}

        def add(name: str) -> None:
            image = self[name]
            if image.base:
                add(image.base)
            ordered.setdefault(name, image)

        for name in names:
            add(name)
        return list(ordered.values())

    def content_hash(self, name: str) -> str:
        """sha256 hex over all that goes into the image: recipe, entry, base, modules, apps."""
        return _content_hash(self.tree, self[name], self._hashes_below(name))

    def _hashes_below(self, name: str) -> tuple[str, ...]:
        image = self[name]
        below = [golang.hash_of(self.module_dir(module)) for module in image.modules]
        if image.base:
            below.append(self.content_hash(image.base))
        return tuple(below)


def _entry(path: Path, name: str, keys: Mapping[str, Any]) -> Image:
    known = {field.name: field for field in dataclasses.fields(Image)}
    unknown = sorted(set(keys) - set(known))
    if unknown:
        raise UsageError(f"{path}: images.{name}: unknown key {unknown[0]!r}")
    if "version" not in keys:
        raise UsageError(f"{path}: images.{name}: version is missing")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    return Image(name=name, **values)


def _content_hash(tree: Path, image: Image, below: tuple[str, ...]) -> str:
    sha = hashlib.sha256(repr(dataclasses.replace(image, system=False)).encode())
    recipe = tree / "images" / (image.recipe or image.name)
    folders = [recipe, *(tree / app for app in image.apps)]
    if image.npm:
        folders.append(tree / image.npm)
    for folder in folders:
        for path in files(folder):
            sha.update(f"\0{path.relative_to(folder)}\0".encode())
            sha.update(path.read_bytes())
    for part in below:
        sha.update(part.encode())
    return sha.hexdigest()


def files(folder: Path) -> list[Path]:
    """The files of a folder that go into an image, sorted; no build leftovers."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is missing")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not _IGNORED.intersection(path.relative_to(folder).parts)
    )


@cache
def load(tree: Path) -> Catalogue:
    """`Catalogue.load`, read once a process."""
    return Catalogue.load(tree)
