"""The source of each image: built here, imported from a file, or copied from upstream.

build   from its recipe, whatever else is available
pull    from upstream where the catalogue names an image by digest; others are built
auto    use what is here; pull the rest where a registry has it, else build it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infraforge import files
from infraforge.errors import UsageError
from infraforge.images import build, push, upstream
from infraforge.images.cache import cache_dir, image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.images.steps import Steps
from infraforge.progress import Done, Progress, silent

HOW = ("auto", "build", "pull")


class Source(StrEnum):
    """The source of one image. REGISTRY: the local registry has it already."""

    BUILT = "built"
    BUILD = "build"
    REGISTRY = "registry"
    PULL = "pull"


@dataclass(frozen=True)
class Plan:
    """What to do for a set of images. sources: image → its source."""

    catalogue: Catalogue
    sources: Mapping[str, Source]

    def of(self, *sources: Source) -> list[str]:
        return [name for name, source in self.sources.items() if source in sources]

    def build(self, progress: Progress = silent) -> None:
        """Build the images that need it."""
        missing = set(build.missing(self.sources, self.catalogue))
        chosen = self.of(Source.BUILD)
        for name in self.of(Source.BUILT):
            # an imported image is complete without the base it was built from
            if not missing.intersection(i.name for i in self.catalogue.with_bases([name])):
                chosen.append(name)
        build.build(chosen, self.catalogue, progress)

    def fill(self, ca_file: Path, progress: Progress = silent) -> dict[str, str]:
        """Copy the images to the local registry, which must run; canonical reference → digest."""
        built = self.of(Source.BUILT, Source.BUILD)
        digests = push.push(built, self.catalogue, ca_file, progress)
        digests |= _tagged(self.of(Source.REGISTRY), self.catalogue, ca_file)
        return digests | pull(self.of(Source.PULL), self.catalogue, ca_file, progress)


def plan(names: Sequence[str], catalogue: Catalogue, how: str = "auto") -> Plan:
    """Decide the source of each image. Asks registries only where it must."""
    missing = set(build.missing(names, catalogue))
    return Plan(catalogue, {name: _source(name, catalogue, how, missing) for name in names})


def pull(
    names: Iterable[str], catalogue: Catalogue, ca_file: Path, progress: Progress = silent
) -> dict[str, str]:
    """Copy upstream images into the local registry, by digest; canonical reference → digest.

    The digest is that of the manifest for this machine's architecture. Raises BuildError with
    skopeo's message where one cannot be copied.
    """
    digests = {}
    with push.trusting(ca_file) as registry:
        for name in names:
            reference = catalogue.reference(name)
            note = _note(name, catalogue)
            repository = push.repository_of(name, catalogue)
            if note.exists():
                digest = note.read_text().strip()
                if registry.tags(Steps(name), repository, catalogue[name].version, digest):
                    digests[reference] = digest
                    continue
            progress(name, "pulling")
            try:
                digest = registry.copy(
                    Steps(name),
                    f"docker://{upstream.source(name, catalogue)}",
                    f"{repository}:{catalogue[name].version}",
                    "--preserve-digests",
                )
            except BaseException:
                progress(name, Done("pull failed"))
                raise
            files.replace(note, digest)
            digests[reference] = digest
            progress(name, Done(f"pulled {digest[:19]}"))
    return digests


def _tagged(names: Iterable[str], catalogue: Catalogue, ca_file: Path) -> dict[str, str]:
    """Digests of the images that the registry holds already; their tags are corrected."""
    digests = push.recorded(names, catalogue)
    with push.trusting(ca_file) as registry:
        for name in names:
            digest = digests[catalogue.reference(name)]
            repository, version = push.repository_of(name, catalogue), catalogue[name].version
            if not registry.tags(Steps(name), repository, version, digest):
                raise UsageError(
                    f"the registry has lost {name}; run: infraforge images import FILE, "
                    f"or: infraforge images build {name}"
                )
    return digests


def _source(name: str, catalogue: Catalogue, how: str, missing: set[str]) -> Source:
    image, built = catalogue[name], name not in missing
    if how == "build" or image.local:
        return Source.BUILT if built else Source.BUILD
    origin = upstream.source(name, catalogue)
    if how == "pull" and origin:
        return Source.PULL
    if built:
        return Source.BUILT
    if _in_registry(name, catalogue):
        return Source.REGISTRY
    if how == "auto" and origin and (_note(name, catalogue).exists() or upstream.answers(origin)):
        return Source.PULL
    return Source.BUILD


def _in_registry(name: str, catalogue: Catalogue) -> bool:
    """Whether the registry's data hold the image's present content; the registry need not run."""
    digest = push.recorded([name], catalogue).get(catalogue.reference(name), "")
    folder = cache_dir() / "registry" / "docker" / "registry" / "v2" / "repositories"
    folder = folder / catalogue.prefix.partition("/")[2] / name / "_manifests" / "revisions"
    return bool(digest) and (folder / digest.replace(":", "/") / "link").exists()


def _note(name: str, catalogue: Catalogue) -> Path:
    """The file that records the digest that the upstream image has here."""
    return image_dir(name) / f"pulled-{upstream.source(name, catalogue)[-12:]}.digest"
