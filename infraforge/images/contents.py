"""List what a built image contains, from its build record and the files it was built from.

    Debian packages  the build record, which has what dpkg reported inside the finished image
    Go modules       `modules/NAME/go.mod`, which pins every module that supplies a package
    PyPI packages    the recipe's requirements, installed by hash and without dependencies
    npm packages     `package-lock.json`, except development packages
    sources          folders of platform/ that are copied or compiled into the image

The image's content hash covers these files, so they are the ones that the image was built from.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from infraforge.errors import UsageError
from infraforge.images.build import ImageRecord
from infraforge.images.catalogue import Catalogue, Image

_PINNED = re.compile(r"([\w.-]+)(?:\[[\w.,-]+\])?==([\w.+!-]+)", re.ASCII)
_STAGE = re.compile(r"^\s*COPY\b.*\s--from=", re.MULTILINE | re.IGNORECASE)
_DIRECTIVE = re.compile(r"^(require|replace)\s*(?:\(([^)]*)\)|([^(\n]+))", re.MULTILINE)


class Kind(StrEnum):
    """The type of a part's purl. SOURCE has none: it is a folder of this project."""

    DEBIAN = "deb"
    GO = "golang"
    PYPI = "pypi"
    NPM = "npm"
    SOURCE = "source"


@dataclass(frozen=True, order=True)
class Part:
    """One package or folder.

    suite: Debian's, for a Debian package; patched: how the part differs from upstream, or "".
    """

    kind: Kind
    name: str
    version: str
    suite: str = ""
    patched: str = ""


@dataclass(frozen=True)
class Contents:
    """What an image is known to contain.

    parts: sorted, without duplicates; gaps: one sentence for each thing that the image contains,
    or may contain, and that no record names; notes: how to read the list.
    """

    parts: tuple[Part, ...]
    gaps: tuple[str, ...]
    notes: tuple[str, ...]


def of(record: ImageRecord, catalogue: Catalogue) -> Contents:
    """List the contents of the image of this record.

    The record must belong to the catalogue's present content hash, as `build.record` returns it.
    Raises UsageError naming the file when one of the image's sources cannot be read.
    """
    layers = catalogue.with_bases([record.name])
    parts: set[Part] = set()
    gaps: list[str] = []
    notes: list[str] = []
    _debian(record, layers, parts, gaps)
    for image in layers:
        recipe = catalogue.recipe_dir(image)
        if _STAGE.search(_text(recipe / "Dockerfile")):
            gaps.append(
                f"the recipe of {image.name} copies files from another build stage; the packages "
                "that they come from are not recorded"
            )
        for module in image.modules:
            parts.update(_go(catalogue.module_dir(module)))
        if image.modules:
            notes.append(
                "Go modules are those that go.mod pins; a program holds what it uses of them"
            )
            gaps.append("the version of Go, and so of its standard library, is not recorded")
        if image.python:
            for line in _requirements(recipe / image.python):
                pinned = _PINNED.fullmatch(line)
                if pinned:
                    parts.add(Part(Kind.PYPI, pinned[1], pinned[2]))
                else:
                    gaps.append(f"{image.python} does not say whether it installs {line!r}")
        if image.npm:
            parts.update(_npm(catalogue.tree / image.npm / "package-lock.json"))
            notes.append("npm packages are those that package-lock.json pins to run, not to build")
            gaps.append("what the bundler adds of its own to the page is not recorded")
        folders = [*image.apps, *([image.npm] if image.npm else [])]
        parts |= {Part(Kind.SOURCE, f"platform/{folder}", image.version) for folder in folders}
    return Contents(tuple(sorted(parts)), tuple(dict.fromkeys(gaps)), tuple(dict.fromkeys(notes)))


def _debian(record: ImageRecord, layers: list[Image], parts: set[Part], gaps: list[str]) -> None:
    suite = layers[0].debootstrap
    if suite and not record.packages:
        gaps.append(
            f"the image starts from Debian {suite}, and its build record names no Debian package"
        )
    for name, version in record.packages.items():
        parts.add(Part(Kind.DEBIAN, name, version, suite=suite))


def _go(folder: Path) -> Iterator[Part]:
    """The modules that go.mod of the folder requires, with its `replace` lines applied."""
    required, replaced = _go_mod(folder / "go.mod")
    copies = _toml(folder / "module.toml").get("copies", {})
    copied = {
        f"./copies/{name}": (module, version) for name, (module, version, _) in copies.items()
    }
    patches = ", ".join(path.name for path in sorted(folder.glob("patches/*.patch")))
    patched = f"patched: {patches}" if patches else ""
    for name, version in required.items():
        place = replaced.get((name, version)) or replaced.get((name, "")) or (name, version)
        if place[1]:
            yield Part(Kind.GO, *place)
        elif place[0] in copied:
            yield Part(Kind.GO, *copied[place[0]], patched=patched)
        else:
            own = f"platform/images/modules/{folder.name}/{place[0].removeprefix('./')}"
            yield Part(Kind.SOURCE, own, version, patched=f"stands in for {name}")
    if any(folder.glob("*.go")):
        version = str(_toml(folder / "module.toml").get("version", ""))
        yield Part(Kind.SOURCE, f"platform/images/modules/{folder.name}", version)


def _go_mod(path: Path) -> tuple[dict[str, str], dict[tuple[str, str], tuple[str, str]]]:
    """Module → version; (module, version or "" for any) → (module or folder, version or "").

    The grammar: https://go.dev/ref/mod#go-mod-file
    """
    text = re.sub(r"//.*", "", _text(path))
    required: dict[str, str] = {}
    replaced: dict[tuple[str, str], tuple[str, str]] = {}
    for verb, block, line in _DIRECTIVE.findall(text):
        for words in filter(None, map(str.split, (block or line).splitlines())):
            if verb == "require":
                name, version = words
                required[name] = version
            else:
                at = words.index("=>")
                old, new = [*words[:at], ""][:2], [*words[at + 1 :], ""][:2]
                replaced[old[0], old[1]] = (new[0], new[1])
    return required, replaced


def _requirements(path: Path) -> Iterator[str]:
    """The lines of a requirements file, without comments and hashes."""
    for line in re.sub(r"\\\n", " ", _text(path)).splitlines():
        text = re.split(r"(?:^|\s)#|\s--hash=", line)[0].strip()
        if text:
            yield text


def _npm(path: Path) -> Iterator[Part]:
    try:
        packages: Mapping[str, Mapping[str, Any]] = json.loads(_text(path))["packages"]
    except (ValueError, LookupError) as error:
        raise UsageError(f"{path} is no package-lock.json of version 3: {error}") from error
    for place, entry in packages.items():
        if place and not entry.get("dev") and not entry.get("link"):
            name = entry.get("name") or place.rpartition("node_modules/")[2]
            yield Part(Kind.NPM, name, entry["version"])


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
