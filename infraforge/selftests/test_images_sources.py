"""Where images come from: built, here already, upstream by digest, or a file. No runtime needed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from infraforge.errors import UsageError
from infraforge.images import archive, build, cache, push, sources, upstream
from infraforge.images.catalogue import Catalogue
from infraforge.images.sources import Source

CATALOGUE = """
prefix = "registry.example/platform"

[images.base]
version = "1"
debootstrap = "trixie"
recipe = "debian"
local = true

[images.app]
version = "2.0"
base = "base"
upstream = "hub.example/makers/app:v2"

[images.own]
version = "1"
base = "base"
"""
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """Three images, one of which others publish; an empty cache, nothing built, no registry."""
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "missing", lambda names, _catalogue: list(names))
    monkeypatch.setattr(upstream, "answers", lambda _reference: False)
    folder = tmp_path / "platform" / "images"
    for name in ("debian", "app", "own"):
        (folder / name).mkdir(parents=True)
    (folder / "images.toml").write_text(CATALOGUE)
    return Catalogue.load(tmp_path / "platform")


def pinned(catalogue: Catalogue) -> None:
    path = catalogue.tree / "images" / "upstream.toml"
    path.write_text(f'"hub.example/makers/app:v2" = "{DIGEST}"')


def planned(catalogue: Catalogue, how: str = "auto") -> dict[str, Source]:
    return dict(sources.plan(["app", "own"], catalogue, how).sources)


def test_a_tag_alone_is_never_pulled(catalogue: Catalogue) -> None:
    assert upstream.source("app", catalogue) == ""
    assert planned(catalogue, "pull") == {"app": Source.BUILD, "own": Source.BUILD}


def test_what_is_named_by_digest_is_pulled_by_that_digest(catalogue: Catalogue) -> None:
    pinned(catalogue)
    assert upstream.source("app", catalogue) == f"hub.example/makers/app@{DIGEST}"
    assert planned(catalogue, "pull") == {"app": Source.PULL, "own": Source.BUILD}


def test_auto_builds_where_no_registry_answers(catalogue: Catalogue) -> None:
    pinned(catalogue)
    assert planned(catalogue) == {"app": Source.BUILD, "own": Source.BUILD}


def test_auto_pulls_where_one_does(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned(catalogue)
    monkeypatch.setattr(upstream, "answers", lambda _reference: True)
    assert planned(catalogue) == {"app": Source.PULL, "own": Source.BUILD}
    assert planned(catalogue, "build") == {"app": Source.BUILD, "own": Source.BUILD}


def test_auto_asks_nobody_about_what_is_built(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned(catalogue)
    monkeypatch.setattr(build, "missing", lambda _names, _catalogue: [])
    monkeypatch.setattr(upstream, "answers", lambda _reference: pytest.fail("a registry was asked"))
    assert planned(catalogue) == {"app": Source.BUILT, "own": Source.BUILT}


def test_what_the_registry_holds_is_not_made_again(catalogue: Catalogue) -> None:
    push.note_path("own", catalogue).write_text(DIGEST)
    assert planned(catalogue)["own"] is Source.BUILD  # the note alone holds nothing
    folder = cache.cache_dir() / "registry/docker/registry/v2/repositories/platform/own"
    link = folder / "_manifests/revisions" / DIGEST.replace(":", "/") / "link"
    link.parent.mkdir(parents=True)
    link.write_text(DIGEST)
    assert planned(catalogue)["own"] is Source.REGISTRY


def test_pins_of_images_no_longer_named_are_dropped(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = catalogue.tree / "images" / "upstream.toml"
    path.write_text(f'"hub.example/makers/app:v1" = "{DIGEST}"')
    monkeypatch.setattr(upstream, "_digest", lambda _reference: ("sha256:new", ""))
    assert upstream.pin(["app", "own"], catalogue) == {"app": "sha256:new"}
    assert dict(upstream.pins(catalogue)) == {"hub.example/makers/app:v2": "sha256:new"}


def packed(tmp_path: Path, images: list[dict[str, object]], tool: bytes, checksum: str) -> Path:
    folder = tmp_path / "archive"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "kubectl").write_bytes(tool)
    index = {"images": images, "tools": {"kubectl": checksum}}
    (folder / "infraforge.json").write_text(json.dumps(index))
    with tarfile.open(tmp_path / "archive.tar", "w") as tar:
        for name in ("infraforge.json", "tools"):
            tar.add(folder / name, name)
    return tmp_path / "archive.tar"


def test_an_archive_of_another_version_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    image = {"name": "own", "reference": "x/own:1", "hash": "b", "digest": DIGEST, "record": None}
    opened = archive.Archive(packed(tmp_path, [image], b"", ""))
    with pytest.raises(UsageError, match=r"another version of the platform: x/own:1"):
        opened.fitting(catalogue)
    opened.close()


def test_a_damaged_program_is_not_taken(catalogue: Catalogue, tmp_path: Path) -> None:
    found = archive.Archive(packed(tmp_path, [], b"damaged", "0" * 64))
    target = tmp_path / "here" / "kubectl"
    with pytest.raises(UsageError, match="kubectl in the archive is damaged"):
        found.take_tools({"kubectl": target})
    found.close()
    assert not target.exists()
    assert catalogue.images


@pytest.mark.usefixtures("catalogue")
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(UsageError, match="no archive of images"):
        archive.Archive(path)
    assert not list(cache.cache_dir().glob("import-*"))
