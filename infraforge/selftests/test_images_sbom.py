"""Bills of materials: what is in an image, what nobody wrote down, and nothing that was guessed."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infraforge.errors import UsageError
from infraforge.images import build, command, contents
from infraforge.images.build import ImageRecord
from infraforge.images.cache import image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.images.contents import Kind, Part

FILES = {
    "images/images.toml": """\
prefix = "registry.example/platform"

[images.base]
version = "13"
debootstrap = "trixie"
recipe = "debian"

[images.app]
version = "2.0"
base = "base"
modules = ["tool"]
python = "requirements.txt"
npm = "apps/page"
apps = ["apps/app"]

[images.static]
version = "1"
modules = ["tool"]
""",
    "images/debian/Dockerfile": "FROM x\n",
    "images/app/Dockerfile": "FROM x\nCOPY bin/tool /usr/bin/tool\n",
    "images/static/Dockerfile": "FROM scratch\n",
    "images/app/requirements.txt": """\
# made by a tool
-r more.txt
Flask==3.1.3 \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via something
redis[hiredis]==8.1.0 --hash=sha256:02
tzdata==2026.1 ; sys_platform == "win32" --hash=sha256:03
""",
    "images/modules/tool/go.mod": """\
module infraforge.local/images/tool

go 1.26.0

tool example.com/made

require example.com/made v1.0.0 // why
require (
	example.com/plain v0.1.0
	example.com/far/away/v2 v2.0.0+incompatible // indirect
	example.com/fork v1.0.0
	example.com/other v1.5.0
	example.com/stub v0.0.1
)

// example.com/plain => example.com/commented v9.9.9
replace example.com/made => ./copies/made
replace (
	example.com/fork v1.0.0 => example.org/forked v1.0.1
	example.com/other v1.4.0 => example.org/other v1.4.1
	example.com/stub => ./stub
)
""",
    "images/modules/tool/module.toml": """\
version = "1.0"
[programs]
tool = "example.com/made"
[copies]
made = ["example.com/made", "v1.0.0", "h1:x"]
""",
    "images/modules/tool/patches/0001-mend.patch": "",
    "images/modules/tool/main.go": "package main",
    "apps/app/main.py": "1",
    "apps/page/page.js": "1",
    "apps/page/package-lock.json": json.dumps(
        {
            "packages": {
                "": {"name": "page", "version": "0.1.0"},
                "node_modules/vue": {"version": "3.5.45"},
                "node_modules/vue/node_modules/@vue/shared": {"version": "3.5.44"},
                "node_modules/vite": {"version": "8.3.8", "dev": True},
            }
        }
    ),
}
PACKAGES = {"bash": "5.2.37-2+b10", "bsdutils": "1:2.41.5-0+deb13u1"}
GO = "the version of Go, and so of its standard library, is not recorded"


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    for name, text in FILES.items():
        path = tmp_path / "platform" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Catalogue.load(tmp_path / "platform")


def built(catalogue: Catalogue, name: str, packages: dict[str, str] | None = None) -> ImageRecord:
    """As if the image had been built: its record is in the cache."""
    record = ImageRecord(
        name=name,
        version=catalogue[name].version,
        reference=catalogue.reference(name),
        hash=catalogue.content_hash(name),
        built_at="2026-11-27T20:29:20Z",
        seconds=1.0,
        size=1,
        packages=packages or {},
    )
    (image_dir(name) / f"{record.hash}.json").write_text(json.dumps(asdict(record)))
    return build.record(name, catalogue)


def ran(catalogue: Catalogue, *argv: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    here = command.Here(ca_file=Path, programs=dict, places={})
    return command.run(parser.parse_args(["sbom", *argv]), catalogue.tree, here)


def written(catalogue: Catalogue, name: str, folder: Path) -> dict[str, Any]:
    """The document of one image, which the library's validator accepts."""
    assert ran(catalogue, name, "--out", str(folder)) == 0
    text = (folder / f"{name}-{catalogue[name].version}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


def properties(document: dict[str, Any], name: str) -> list[str]:
    found = document["metadata"].get("properties", [])
    return [one["value"] for one in found if one["name"] == f"infraforge:{name}"]


def test_every_kind_of_part_is_found_where_it_is_pinned(catalogue: Catalogue) -> None:
    """Replaced, patched and nested packages by what they are; those for development not at all."""
    assert contents.of(built(catalogue, "app", PACKAGES), catalogue).parts == (
        Part(Kind.DEBIAN, "bash", "5.2.37-2+b10", suite="trixie"),
        Part(Kind.DEBIAN, "bsdutils", "1:2.41.5-0+deb13u1", suite="trixie"),
        Part(Kind.GO, "example.com/far/away/v2", "v2.0.0+incompatible"),
        Part(Kind.GO, "example.com/made", "v1.0.0", patched="patched: 0001-mend.patch"),
        Part(Kind.GO, "example.com/other", "v1.5.0"),
        Part(Kind.GO, "example.com/plain", "v0.1.0"),
        Part(Kind.GO, "example.org/forked", "v1.0.1"),
        Part(Kind.NPM, "@vue/shared", "3.5.44"),
        Part(Kind.NPM, "vue", "3.5.45"),
        Part(Kind.PYPI, "Flask", "3.1.3"),
        Part(Kind.PYPI, "redis", "8.1.0"),
        Part(Kind.SOURCE, "platform/apps/app", "2.0"),
        Part(Kind.SOURCE, "platform/apps/page", "2.0"),
        Part(Kind.SOURCE, "platform/images/modules/tool", "1.0"),
        Part(
            Kind.SOURCE,
            "platform/images/modules/tool/stub",
            "v0.0.1",
            patched="stands in for example.com/stub",
        ),
    )


def test_the_document_is_valid_and_names_packages_by_purl(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    record = built(catalogue, "app", PACKAGES)
    document = written(catalogue, "app", tmp_path / "out")
    purls = {part["purl"] for part in document["components"] if "purl" in part}
    assert purls == {
        "pkg:deb/debian/bash@5.2.37-2%2Bb10?distro=trixie",
        "pkg:deb/debian/bsdutils@1:2.41.5-0%2Bdeb13u1?distro=trixie",
        "pkg:golang/example.com/far/away/v2@v2.0.0%2Bincompatible",
        "pkg:golang/example.com/made@v1.0.0",
        "pkg:golang/example.com/other@v1.5.0",
        "pkg:golang/example.com/plain@v0.1.0",
        "pkg:golang/example.org/forked@v1.0.1",
        "pkg:npm/%40vue/shared@3.5.44",
        "pkg:npm/vue@3.5.45",
        "pkg:pypi/flask@3.1.3",
        "pkg:pypi/redis@8.1.0",
    }
    image = document["metadata"]["component"]
    assert (image["name"], image["version"], image["type"]) == ("app", "2.0", "container")
    assert image["properties"] == [{"name": "infraforge:content-hash", "value": record.hash}]
    assert document["metadata"]["timestamp"] == "2026-11-27T20:29:20+00:00"
    [dependencies] = [one for one in document["dependencies"] if one["ref"] == image["bom-ref"]]
    assert len(dependencies["dependsOn"]) == len(document["components"]) == 15


def test_no_address_of_a_registry_is_in_it(catalogue: Catalogue, tmp_path: Path) -> None:
    built(catalogue, "app", PACKAGES)
    text = json.dumps(written(catalogue, "app", tmp_path))
    assert set(re.findall(r"\w+://[^/\"]+", text)) == {"http://cyclonedx.org"}  # the schema's name
    assert not re.search(r"repository_url|download_url|vcs_url|registry\.example", text)


def test_the_same_record_gives_the_same_bytes_and_another_one_another_serial(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    built(catalogue, "app", PACKAGES)
    first = written(catalogue, "app", tmp_path / "one")
    built(catalogue, "app", dict(reversed(PACKAGES.items())))
    written(catalogue, "app", tmp_path / "two")
    name = "app-2.0.cdx.json"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    built(catalogue, "app", {**PACKAGES, "bash": "6"})
    third = written(catalogue, "app", tmp_path / "one")  # ours: it is written anew
    assert first["serialNumber"] != third["serialNumber"]


def test_debian_packages_that_no_record_names_are_said_to_be_unknown(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    built(catalogue, "base")
    document = written(catalogue, "base", tmp_path)
    assert document["compositions"] == [{"aggregate": "incomplete", "assemblies": ["image"]}]
    [gap] = properties(document, "unknown")
    assert "starts from Debian trixie, and its build record names no Debian package" in gap
    assert "components" not in document


def test_what_is_known_whole_is_said_to_be_complete(catalogue: Catalogue, tmp_path: Path) -> None:
    built(catalogue, "base", PACKAGES)
    document = written(catalogue, "base", tmp_path)
    assert document["compositions"] == [{"aggregate": "complete", "assemblies": ["image"]}]
    assert properties(document, "unknown") == []


def test_an_image_from_scratch_lacks_no_debian_packages(catalogue: Catalogue) -> None:
    assert contents.of(built(catalogue, "static"), catalogue).gaps == (GO,)


def test_whatever_else_is_not_recorded_is_said(catalogue: Catalogue) -> None:
    recipe = catalogue.tree / "images/app/Dockerfile"
    recipe.write_text("FROM x AS made\nFROM x\nCOPY --chmod=0755 --from=made /a /a\n")
    stage, *others = contents.of(built(catalogue, "app", PACKAGES), catalogue).gaps
    assert "app copies files from another build stage" in stage
    assert others == [
        GO,
        "requirements.txt does not say whether it installs '-r more.txt'",
        "requirements.txt does not say whether it installs 'tzdata==2026.1 ; sys_platform == "
        '"win32"\'',
        "what the bundler adds of its own to the page is not recorded",
    ]


def test_what_is_not_ours_is_not_overwritten(catalogue: Catalogue, tmp_path: Path) -> None:
    built(catalogue, "base", PACKAGES)
    built(catalogue, "static")
    folder = tmp_path / "out"
    folder.mkdir()
    theirs = folder / "static-1.cdx.json"
    for text in (
        "notes",
        "[]",
        '{"bomFormat": "CycloneDX"}',
        '{"bomFormat": "CycloneDX", "metadata": {"tools": {"components": [{"name": "syft"}]}}}',
    ):
        theirs.write_text(text)
        with pytest.raises(UsageError, match="is not a bill of materials"):
            ran(catalogue, "base", "static", "--out", str(folder))
        assert theirs.read_text() == text
        assert list(folder.iterdir()) == [theirs]  # nor was the other one written
    theirs.unlink()
    theirs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="symbolic link"):
        ran(catalogue, "static", "--out", str(folder))


def test_each_error_is_one_line_with_what_to_do(catalogue: Catalogue, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    with pytest.raises(UsageError, match="not built; run: infraforge images build static"):
        ran(catalogue, "static", *out)
    with pytest.raises(UsageError, match="there is no image 'statik'"):
        ran(catalogue, "statik", *out)
    record = built(catalogue, "static")
    path = image_dir("static") / f"{record.hash}.json"
    path.write_text(path.read_text().replace("2026-11-27T", "yesterday, "))
    with pytest.raises(UsageError, match=r"damaged.*infraforge images build static"):
        ran(catalogue, "static", *out)
    (tmp_path / "file").touch()
    built(catalogue, "static")
    with pytest.raises(UsageError, match="cannot be written"):
        ran(catalogue, "static", "--out", str(tmp_path / "file" / "out"))
    assert not (tmp_path / "out").exists()


def test_every_image_of_the_catalogue_has_readable_contents() -> None:
    """Whatever recipes there are: nothing in them is beyond this reader but what it says."""
    catalogue = Catalogue.load(Path(__file__).parents[2] / "platform")
    for name in catalogue.images:
        record = ImageRecord(name, catalogue[name].version, "", "", "", 0, 0, PACKAGES)
        known = contents.of(record, catalogue)
        image = catalogue[name]
        assert all(part.version for part in known.parts)
        assert bool(image.modules) == (GO in known.gaps)
        assert not [gap for gap in known.gaps if "requirements" in gap]
        kinds = {part.kind for part in known.parts}
        assert bool(image.python) == (Kind.PYPI in kinds)
        assert bool(image.npm) == (Kind.NPM in kinds)
