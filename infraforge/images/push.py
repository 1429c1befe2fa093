"""Copies built images into the local registry, over verified TLS."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infraforge import files
from infraforge.errors import UsageError
from infraforge.images import build
from infraforge.images.cache import image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.images.steps import Steps
from infraforge.progress import Done, Progress, silent

REGISTRY = "127.0.0.1:5001"
_PARALLEL = 3
_FORMAT = ("--format=oci", "--dest-compress-format=zstd")
"""Nodes unpack zstd several times faster than gzip, and unpacking is most of a pull's time."""


def push(
    names: Iterable[str], catalogue: Catalogue, ca_file: Path, progress: Progress = silent
) -> dict[str, str]:
    """Copy the images that the registry lacks; canonical reference → `sha256:…` digest.

    `CACHE/images/` records the digest of each content hash; an image is copied again only when
    the registry no longer has that digest. Images marked `local` are left out.
    Raises UsageError for an image that is not built, BuildError when the registry refuses.
    """
    wanted = [name for name in names if not catalogue[name].local]
    with trusting(ca_file) as registry, ThreadPoolExecutor(_PARALLEL) as pool:
        digests = pool.map(lambda name: _ensure(name, catalogue, registry, progress), wanted)
        return dict(zip((catalogue.reference(name) for name in wanted), digests, strict=True))


def recorded(names: Iterable[str], catalogue: Catalogue) -> dict[str, str]:
    """The digests that this machine has recorded; canonical reference → digest.

    Needs neither registry nor container runtime. Images without a recorded digest are left out.
    """
    digests = {}
    for name in names:
        note = note_path(name, catalogue)
        if note.exists():
            digests[catalogue.reference(name)] = note.read_text().strip()
    return digests


def look_up(names: Iterable[str], catalogue: Catalogue, prefix: str) -> dict[str, str]:
    """The digests that a registry has under `PREFIX/NAME:VERSION`; canonical reference → digest.

    Uses this machine's own settings for registries (credentials, CAs, mirrors in the container
    tools' files). Raises UsageError naming the images that are missing there.
    """
    digests, lacking = {}, []
    for name in names:
        there = f"{prefix}/{name}:{catalogue[name].version}"
        argv = ["skopeo", "inspect", "--no-tags", f"docker://{there}"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"{there}: {error}") from error
        if done.returncode == 0:
            digests[catalogue.reference(name)] = str(json.loads(done.stdout)["Digest"])
        else:
            lacking.append(there)
    if lacking:
        raise UsageError(
            f"not built or imported here, and not found in a registry: {', '.join(lacking)}; "
            f"run: infraforge images build, or: infraforge images import FILE"
        )
    return digests


def repository_of(name: str, catalogue: Catalogue) -> str:
    """The image's repository in the local registry."""
    return f"{REGISTRY}/{catalogue.prefix.partition('/')[2]}/{name}"


def note_path(name: str, catalogue: Catalogue) -> Path:
    """The file that records the digest of the image's present content."""
    return image_dir(name) / f"{catalogue.content_hash(name)}.digest"


def _ensure(name: str, catalogue: Catalogue, registry: Registry, progress: Progress) -> str:
    image = build.record(name, catalogue)
    note = note_path(name, catalogue)
    repository = repository_of(name, catalogue)
    tagged = f"{repository}:{image.version}"
    steps = Steps(name)
    if note.exists():
        digest = note.read_text().strip()
        if registry.tags(steps, repository, image.version, digest):
            return digest
    progress(name, "pushing")
    try:
        with tempfile.TemporaryDirectory(dir=note.parent, prefix="push-") as folder:
            archive = Path(folder) / "image.tar"
            steps.docker("docker save", "save", "-o", str(archive), image.tag)
            digest = registry.copy(steps, f"docker-archive:{archive}", tagged, *_FORMAT)
    except BaseException:
        progress(name, Done("push failed"))
        raise
    files.replace(note, digest)
    progress(name, Done(f"pushed {digest[:19]}"))
    return digest


@dataclass(frozen=True)
class Registry:
    """A registry. certs: folder with its `ca.crt`; None: the machine's own settings apply."""

    certs: Path | None

    def digest_of(self, reference: str) -> str | None:
        """The digest of `HOST/PATH:TAG` or `HOST/PATH@sha256:…`; None where there is none."""
        argv = ["skopeo", "inspect", "--no-tags", *self._trust("--cert-dir")]
        argv.append(f"docker://{reference}")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return str(json.loads(done.stdout)["Digest"]) if done.returncode == 0 else None

    def tags(self, steps: Steps, repository: str, version: str, digest: str) -> bool:
        """Make `HOST/PATH:VERSION` name this content; False where the registry lacks it.

        Another version of the platform, or another source, may have moved the tag.
        """
        tagged = f"{repository}:{version}"
        if self.digest_of(tagged) == digest:
            return True
        if self.digest_of(f"{repository}@{digest}") != digest:
            return False
        self.copy(steps, f"docker://{repository}@{digest}", tagged)
        return True

    def fetch(self, steps: Steps, reference: str, target: str) -> None:
        """Copy an image out of this registry, byte for byte."""
        argv = ["skopeo", "copy", "--quiet", "--preserve-digests"]
        argv += [*self._trust("--src-cert-dir"), f"docker://{reference}", target]
        steps.run("copy out of the registry", argv)

    def copy(self, steps: Steps, source: str, target: str, *options: str) -> str:
        """Copy to `HOST/PATH:TAG` of this registry; returns the digest there.

        source: in skopeo's notation, for instance `docker://…` of any registry.
        """
        with tempfile.TemporaryDirectory() as folder:
            digest = Path(folder) / "digest"
            argv = ["skopeo", "copy", "--quiet", *self._trust("--dest-cert-dir"), *options]
            if source.startswith(f"docker://{REGISTRY}/"):
                argv += self._trust("--src-cert-dir")
            argv += [f"--digestfile={digest}", source, f"docker://{target}"]
            steps.run("copy to the registry", argv)
            return digest.read_text().strip()

    def _trust(self, option: str) -> list[str]:
        return [option, str(self.certs)] if self.certs else []


@contextmanager
def trusting(ca_file: Path | None) -> Iterator[Registry]:
    """The local registry with this CA; None: another one, with the machine's own settings."""
    if ca_file is None:
        yield Registry(None)
        return
    with tempfile.TemporaryDirectory() as certs:
        (Path(certs) / "ca.crt").write_bytes(ca_file.read_bytes())
        yield Registry(Path(certs))
