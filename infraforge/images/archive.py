"""All images in one file, for a machine without a registry and without builds.

    FILE.tar   infraforge.json    the contents, by content hash, and the programs' checksums
               images/            an OCI image layout, one reference per image; each layer once
               tools/             programs that run on the machine itself

Every read checks a layer against its digest, and a program against its checksum.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infraforge import files
from infraforge.errors import UsageError
from infraforge.images import build, push
from infraforge.images.cache import cache_dir, image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.images.steps import Steps
from infraforge.places import refuse_foreign_file
from infraforge.progress import Done, Progress, silent

_INDEX = "infraforge.json"


@dataclass(frozen=True)
class Content:
    """One image of an archive. digest: in the registry; "" for one that Docker runs itself.

    record: its build record; None for an image from upstream.
    """

    name: str
    reference: str
    hash: str
    digest: str
    record: Mapping[str, Any] | None


def export(
    target: Path,
    names: Sequence[str],
    catalogue: Catalogue,
    *,
    digests: Mapping[str, str],
    tools: Mapping[str, Path],
    ca_file: Path,
    progress: Progress = silent,
) -> str:
    """Write the images, which the local registry must hold, and tools into `target`; its sha256.

    digests: as `Plan.fill` gives them. The file appears as the last step.
    Raises UsageError where something is in its place that is no archive of images.
    """
    refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as place:
        work = Path(place)
        with push.trusting(ca_file) as registry:
            contents = []
            for name in names:
                progress(name, "exporting")
                contents.append(_export(name, catalogue, digests, registry, work))
                progress(name, Done("exported"))
        (work / "tools").mkdir()
        sums = {}
        for tool, path in tools.items():
            shutil.copyfile(path, work / "tools" / tool)
            sums[tool] = _sha256(path)
        index = {"images": [asdict(content) for content in contents], "tools": sums}
        (work / _INDEX).write_text(json.dumps(index, indent=1, sort_keys=True))
        with files.aside(target) as partial, tarfile.open(partial, "w") as out:
            for item in (_INDEX, "tools", "images"):
                out.add(work / item, item)
    return _sha256(target)


def refuse_foreign(target: Path) -> None:
    """Raise UsageError where something is in the file's place that is no archive of images."""
    refuse_foreign_file(target, "an archive of images", _is_one)


def _is_one(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as tar:
            first = tar.next()
    except (tarfile.TarError, ValueError, EOFError):
        return False
    return first is not None and first.name == _INDEX


class Archive:
    """The file of an archive, unpacked; close it to remove what was unpacked.

    Raises UsageError for a file that is not a bundle, or whose programs were changed.
    """

    def __init__(self, file: Path) -> None:
        cache_dir().mkdir(parents=True, exist_ok=True)
        self._place = tempfile.TemporaryDirectory(dir=cache_dir(), prefix="import-")
        self._folder = Path(self._place.name)
        try:
            with tarfile.open(file) as tar:
                tar.extractall(self._folder, filter="data")
            index = json.loads((self._folder / _INDEX).read_text())
            self.contents = [Content(**item) for item in index["images"]]
            self._tools: Mapping[str, str] = dict(index["tools"])
        except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
            self.close()
            why = str(error).partition("\n")[0]
            raise UsageError(
                f"{file} is no archive of images, or not whole: {why}; make one by: "
                f"infraforge images export FILE"
            ) from error

    def close(self) -> None:
        self._place.cleanup()

    def fitting(self, catalogue: Catalogue) -> list[Content]:
        """Its images; UsageError naming those that belong to another version of the platform."""
        odd = [
            item.reference
            for item in self.contents
            if item.name not in catalogue.images or catalogue.content_hash(item.name) != item.hash
        ]
        if odd:
            raise UsageError(
                f"the bundle is of another version of the platform: {', '.join(odd)}; export a "
                f"new one from this version: infraforge images export FILE"
            )
        return self.contents

    def take_tools(self, places: Mapping[str, Path]) -> None:
        """Install its programs where this machine looks for them."""
        for tool, checksum in self._tools.items():
            if tool not in places:
                continue  # no program of this version
            program = self._folder / "tools" / tool
            if not program.is_file() or _sha256(program) != checksum:
                raise UsageError(f"{tool} in the archive is damaged")
            target = places[tool]
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.aside(target) as partial:
                shutil.copyfile(program, partial)
                partial.chmod(0o755)

    def load(self, content: Content) -> None:
        """Load an image into this machine's container runtime, as if it had been built here."""
        try:
            made = build.ImageRecord(**content.record or {})
        except TypeError as error:
            raise UsageError(f"{content.name} in the archive is damaged: {error}") from error
        steps = Steps(content.name)
        archive = self._folder / "load.tar"
        target = f"docker-archive:{archive}:{made.tag}"
        steps.run("unpack", ["skopeo", "copy", "--quiet", self._source(content), target])
        steps.docker("docker load", "load", "--quiet", "--input", str(archive))
        archive.unlink()
        _note(content)

    def push(self, content: Content, registry: push.Registry, target: str) -> None:
        """Copy an image to `HOST/PATH:TAG`, byte for byte. Raises UsageError if it differs."""
        steps = Steps(content.name)
        digest = registry.copy(steps, self._source(content), target, "--preserve-digests")
        if digest != content.digest:
            raise UsageError(
                f"{content.reference} has the digest {digest} there, not {content.digest}; the "
                f"registry changes images, so give another --registry"
            )
        _note(content)

    def _source(self, content: Content) -> str:
        return f"oci:{self._folder / 'images'}:{content.name}"


def _export(
    name: str,
    catalogue: Catalogue,
    digests: Mapping[str, str],
    registry: push.Registry,
    work: Path,
) -> Content:
    steps, target = Steps(name), f"oci:{work / 'images'}:{name}"
    reference = catalogue.reference(name)
    digest = digests.get(reference, "")
    if catalogue[name].local:
        archive = work / "save.tar"
        steps.docker("docker save", "save", "-o", str(archive), build.record(name, catalogue).tag)
        # in gzip, skopeo's default: Docker cannot load what was made from zstd
        argv = ["skopeo", "copy", "--quiet", f"docker-archive:{archive}", target]
        steps.run("export", argv)
        archive.unlink()
    else:
        repository = push.repository_of(name, catalogue)
        registry.fetch(steps, f"{repository}@{digest}", target)
    try:
        record: Mapping[str, Any] | None = asdict(build.record(name, catalogue))
    except UsageError:
        record = None  # from upstream
    return Content(name, reference, catalogue.content_hash(name), digest, record)


def _note(content: Content) -> None:
    folder = image_dir(content.name)
    if content.record is not None:
        record = json.dumps(dict(content.record), indent=1)
        files.replace(folder / f"{content.hash}.json", record)
    if content.digest:
        files.replace(folder / f"{content.hash}.digest", content.digest)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
