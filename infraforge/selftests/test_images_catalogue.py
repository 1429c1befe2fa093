"""The catalogue: errors name the entry, and hashes follow the content alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infraforge.errors import UsageError
from infraforge.images.catalogue import Catalogue

CATALOGUE = """\
prefix = "registry.example/platform"

[images.base]
version = "1"
debootstrap = "trixie"
recipe = "debian"

[images.app]
version = "2.0"
base = "base"
modules = ["tool"]
npm = "apps/page"
apps = ["apps/app"]

[images.other]
version = "1"
base = "base"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A platform folder with three images."""
    contents = {
        "images/images.toml": CATALOGUE,
        "images/debian/apt.conf": "conf",
        "images/app/Dockerfile": "FROM x",
        "images/other/Dockerfile": "FROM y",
        "images/modules/tool/go.mod": "module tool",
        "apps/app/main.py": "1",
        "apps/page/page.js": "1",
        "components/app/workload.yaml": "image: registry.example/platform/app:2.0",
    }
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def hash_of(tree: Path, name: str = "app") -> str:
    return Catalogue.load(tree).content_hash(name)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[images.base]", "[images.base", "images.toml"),
        ("base = ", "bsae = ", "unknown key 'images.app.bsae'; known: apps, base, debootstrap, "),
        ("base = ", "bsae = ", "version; did you mean 'base'?"),
        ("prefix", "prefx", "unknown key 'prefx'; known: images, prefix; did you mean 'prefix'?"),
        ("[images.base]", "[[images.base]]", "images.base is [{"),
        ("[images.base]", "[[images.base]]", "must be a table"),
        ("registry.example/platform", "registry.example", "HOST/FOLDER, not 'registry.example'"),
        ("registry.example/platform", "", "prefix must be HOST/FOLDER, not ''"),
        ('["tool"]', '"tool"', "images.app.modules is 'tool': must be a list"),
        ('["tool"]', "[1]", "images.app.modules.0 is 1: input should be a valid string"),
        ('"2.0"', "2.0", "images.app.version is 2.0: input should be a valid string"),
        ('"2.0"', "2026-11-28", "2026-11-28 must stand in quotes"),
        ('"2.0"', '"2.0"\nsystem = 1', "images.app.system is 1: input should be a valid boolean"),
        ('"2.0"', '"latest"', "is not a fixed version"),
        ('version = "2.0"\n', "", "images.app.version is missing"),
        ('base = "base"', 'base = "bass"', "app: there is no base 'bass'"),
        ('"1"\ndeb', '"1"\nbase = "other"\ndeb', "bases form a circle: base -> other -> base"),
    ],
)
def test_an_error_in_the_catalogue_is_named(tree: Path, old: str, new: str, says: str) -> None:
    path = tree / "images/images.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        Catalogue.load(tree)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_catalogue_or_image_is_named(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no image 'ap'; there are: app, base, other"):
        Catalogue.load(tree)["ap"]
    (tree / "images/images.toml").unlink()
    with pytest.raises(UsageError, match=r"images\.toml"):
        Catalogue.load(tree)


def test_bases_come_first_and_once(tree: Path) -> None:
    ordered = Catalogue.load(tree).with_bases(["app", "other"])
    assert [image.name for image in ordered] == ["base", "app", "other"]


CHANGES: dict[str, Callable[[Path], object]] = {
    "recipe": lambda tree: (tree / "images/app/Dockerfile").write_text("FROM z"),
    "recipe's mode": lambda tree: (tree / "images/app/Dockerfile").chmod(0o755),
    "file added": lambda tree: (tree / "images/app/more").write_text(""),
    "file renamed": lambda tree: (tree / "apps/app/main.py").rename(tree / "apps/app/man.py"),
    "app": lambda tree: (tree / "apps/app/main.py").write_text("2"),
    "page": lambda tree: (tree / "apps/page/page.js").write_text("2"),
    "module": lambda tree: (tree / "images/modules/tool/go.mod").write_text("module t"),
    "base": lambda tree: (tree / "images/debian/apt.conf").write_text("other"),
    "version": lambda tree: edit(tree, '"2.0"', '"2.1"'),
    "base's suite": lambda tree: edit(tree, "trixie", "bookworm"),
}

NO_CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _tree: None,
    "another image": lambda tree: (tree / "images/other/Dockerfile").write_text("FROM z"),
    "another image's version": lambda tree: edit(
        tree, 'other]\nversion = "1"', 'other]\nversion = "3"'
    ),
    "time": lambda tree: os.utime(tree / "apps/app/main.py", (1, 1)),
    "comment": lambda tree: edit(tree, "[images.app]", "# why\n[images.app]"),
    "system": lambda tree: edit(tree, "[images.app]", "[images.app]\nsystem = true"),
    "local": lambda tree: edit(tree, "[images.app]", "[images.app]\nlocal = true"),
    "upstream": lambda tree: edit(tree, "[images.app]", '[images.app]\nupstream = "a.b/app:1"'),
    "npm's leftovers": lambda tree: leave(tree / "apps/page/node_modules/x/index.js"),
    "built page": lambda tree: leave(tree / "apps/page/dist/index.html"),
    "Python's leftovers": lambda tree: leave(tree / "apps/app/__pycache__/main.pyc"),
}


def edit(tree: Path, old: str, new: str) -> None:
    path = tree / "images/images.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def leave(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("left over")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_input_changes_the_hash(tree: Path, change: Callable[[Path], object]) -> None:
    before = hash_of(tree)
    change(tree)
    assert hash_of(tree) != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_only_inputs_change_the_hash(tree: Path, change: Callable[[Path], object]) -> None:
    before = hash_of(tree)
    change(tree)
    assert hash_of(tree) == before


def test_a_patched_copy_of_the_tree_has_hashes_of_its_own(tree: Path, tmp_path: Path) -> None:
    """A sabotage builds from a copy: same content means the same image, wherever it lies."""
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in [p for p in tree.rglob("*") if p.is_file()]:
        target = copy / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert hash_of(copy) == hash_of(tree)
    (copy / "apps/app/main.py").write_text("sabotaged")
    assert hash_of(copy) != hash_of(tree)
    assert hash_of(copy, "other") == hash_of(tree, "other")


def test_images_of_a_profile_are_those_its_manifests_name(tree: Path) -> None:
    assert Catalogue.load(tree).deployed(["app"]) == ["app"]
    assert Catalogue.load(tree).deployed(["other"]) == []


def test_a_manifest_cannot_name_what_the_catalogue_lacks(tree: Path) -> None:
    manifest = tree / "components/app/workload.yaml"
    manifest.write_text("image: registry.example/platform/app:2.1")
    with pytest.raises(UsageError, match=r"app:2\.1 is not in the catalogue, which has app:2\.0"):
        Catalogue.load(tree).deployed(["app"])
    manifest.write_text("image: registry.example/platform/nobody:1")
    with pytest.raises(UsageError, match="there is no image 'nobody'"):
        Catalogue.load(tree).deployed(["app"])


@pytest.mark.parametrize("upstream", ["app", "hub.example/app", "hub.example/app:latest", "app:1"])
def test_an_upstream_image_is_named_whole(tree: Path, upstream: str) -> None:
    edit(tree, "[images.app]", f'[images.app]\nupstream = "{upstream}"')
    with pytest.raises(UsageError, match="must be HOST/PATH:TAG"):
        Catalogue.load(tree)
