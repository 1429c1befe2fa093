"""The image catalogue: every image, its ingredients, and its content hash."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from infraforge import reading
from infraforge.errors import UsageError
from infraforge.images import golang

_IGNORED = {"node_modules", "dist", "__pycache__", ".pytest_cache"}
_NOT_CONTENT = {"system", "local", "upstream"}
_UPSTREAM = re.compile(r"[\w.-]+\.[\w.-]+(:\d+)?(/[\w.-]+)+:(?!latest$)[\w.-]+", re.ASCII)
_MAKING = "1"
"""Version of how recipes become images; raise it when a change here changes the results."""


@dataclass(frozen=True)
class Entry:
    """One table of `images.toml`; the head of that file explains the keys."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    version: str
    base: str = ""
    debootstrap: str = ""
    modules: tuple[str, ...] = ()
    python: str = ""
    npm: str = ""
    apps: tuple[str, ...] = ()
    recipe: str = ""
    program: str = ""
    upstream: str = ""
    system: bool = False
    local: bool = False


@dataclass(frozen=True)
class Image(Entry):
    """An entry and the name that its table has."""

    name: str = field(kw_only=True)


@dataclass(frozen=True)
class _File:
    """`images.toml` as it is read."""

    __pydantic_config__: ClassVar[dict[str, Any]] = reading.STRICT

    prefix: str = ""
    images: Mapping[str, Entry] = field(default_factory=dict)


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

        Raises UsageError naming the entry and the wrong key.
        """
        path = tree / "images" / "images.toml"
        file = reading.parsed(path, reading.toml(path), _File)
        if not re.fullmatch(r"[a-z0-9.-]+(/[a-z0-9.-]+)+", file.prefix):
            raise UsageError(f"{path}: prefix must be HOST/FOLDER, not {file.prefix!r}")
        if not file.images:
            raise UsageError(f"{path}: it has no [images.NAME]; add one for each image")
        images = {name: _image(path, name, entry) for name, entry in file.images.items()}
        for image in images.values():
            _check_bases(path, image, images)
        return cls(tree, file.prefix, images)

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
        """The folder of the Dockerfile that makes the image."""
        return self.tree / "images" / (image.recipe or image.name)

    def with_bases(self, names: Iterable[str]) -> list[Image]:
        """The named images and all their bases, bases first."""
        ordered: dict[str, Image] = {}

        def add(name: str) -> None:
            image = self[name]
            if image.base:
                add(image.base)
            ordered.setdefault(name, image)

        for name in names:
            add(name)
        return list(ordered.values())

    def system(self) -> list[str]:
        """The images that the cluster itself needs, whatever runs on it."""
        return [image.name for image in self.images.values() if image.system]

    def needed_by(self, components: Iterable[str]) -> list[str]:
        """The images of the cluster itself and of these components.

        Raises UsageError for an image or a version that the catalogue does not have.
        """
        return [*self.system(), *self.deployed(components)]

    def deployed(self, components: Iterable[str]) -> list[str]:
        """The images that the manifests of these components name, in the catalogue's order.

        Raises UsageError for an image or a version that the catalogue does not have.
        """
        names: set[str] = set()
        pattern = re.compile(rf"{re.escape(self.prefix)}/([\w.-]+):([\w.-]+)", re.ASCII)
        for component in components:
            for path in sorted((self.tree / "components" / component).rglob("*.yaml")):
                for name, version in pattern.findall(path.read_text()):
                    if self[name].version != version:
                        raise UsageError(
                            f"{path}: image {name}:{version} is not in the catalogue, which has "
                            f"{name}:{self[name].version}; change one of the two"
                        )
                    names.add(name)
        return [name for name in self.images if name in names]

    def content_hash(self, name: str) -> str:
        """sha256 hex over all that goes into the image: recipe, entry, base, modules, apps."""
        return _content_hash(self.tree, self[name], self._hashes_below(name))

    def _hashes_below(self, name: str) -> tuple[str, ...]:
        image = self[name]
        below = [golang.hash_of(self.module_dir(module)) for module in image.modules]
        if image.base:
            below.append(self.content_hash(image.base))
        return tuple(below)


def _image(path: Path, name: str, entry: Entry) -> Image:
    version, upstream = entry.version, entry.upstream
    if version == "latest" or not re.fullmatch(r"\w[\w.-]{0,127}", version, re.ASCII):
        raise UsageError(
            f"{path}: images.{name}: {version!r} is not a fixed version; name an exact one"
        )
    if upstream and not _UPSTREAM.fullmatch(upstream):
        raise UsageError(f"{path}: images.{name}.upstream must be HOST/PATH:TAG, not {upstream!r}")
    return Image(name=name, **vars(entry))


def _check_bases(path: Path, image: Image, images: Mapping[str, Image]) -> None:
    chain = [image.name]
    while base := images[chain[-1]].base:
        if base not in images:
            raise UsageError(f"{path}: {chain[-1]}: there is no base {base!r}; add or rename it")
        if base in chain:
            raise UsageError(f"{path}: bases form a circle: {' -> '.join([*chain, base])}")
        chain.append(base)


def _content_hash(tree: Path, image: Image, below: tuple[str, ...]) -> str:
    entry = dataclasses.asdict(image)
    content = sorted((key, value) for key, value in entry.items() if key not in _NOT_CONTENT)
    sha = hashlib.sha256(f"{_MAKING}{content}".encode())
    folders = [tree / "images" / (image.recipe or image.name), *(tree / app for app in image.apps)]
    if image.npm:
        folders.append(tree / image.npm)
    for folder in folders:
        for path in files(folder):
            runs = bool(path.stat().st_mode & 0o100)
            sha.update(f"\0{path.relative_to(folder)}\0{runs}\0".encode())
            sha.update(hashlib.sha256(path.read_bytes()).digest())
    for part in below:
        sha.update(part.encode())
    return sha.hexdigest()


def files(folder: Path) -> list[Path]:
    """The files of a folder that go into an image, sorted; build leftovers are left out."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is missing")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not _IGNORED.intersection(path.relative_to(folder).parts)
    )


@cache
def load(tree: Path) -> Catalogue:
    """`Catalogue.load`, read once per process."""
    return Catalogue.load(tree)
