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
"""Nodes unpack zstd several times faster than gzip, and that is most of what a pull takes."""


def push(
    names: Iterable[str], catalogue: Catalogue, ca_file: Path, progress: Progress = silent
) -> dict[str, str]:
    """Copy the images that the registry lacks; canonical reference → `sha256:…` digest.

    Which digest a content hash became is recorded under `CACHE/images/`; an image is copied
    again only when the registry no longer has that digest. Images marked `local` are left out.
    Raises UsageError for an image that is not built, BuildError when the registry refuses.
    """
    wanted = [name for name in names if not catalogue[name].local]
    with trusting(ca_file) as registry, ThreadPoolExecutor(_PARALLEL) as pool:
        digests = pool.map(lambda name: _ensure(name, catalogue, registry, progress), wanted)
        return dict(zip((catalogue.reference(name) for name in wanted), digests, strict=True))


def recorded(names: Iterable[str], catalogue: Catalogue) -> dict[str, str]:
    """Those of which this machine knows what digest their content became; by canonical reference.

    Needs neither registry nor container runtime.
    """
    found = {}
    for name in names:
        note = note_path(name, catalogue)
        if note.exists():
            found[catalogue.reference(name)] = note.read_text().strip()
    return found


def look_up(names: Iterable[str], catalogue: Catalogue, prefix: str) -> dict[str, str]:
    """What digests a registry has under `PREFIX/NAME:VERSION`; by canonical reference.

    The registry is asked as this machine is set up to (credentials, CAs, mirrors: containers'
    own files). Raises UsageError naming those it does not have.
    """
    found, lacking = {}, []
    for name in names:
        there = f"{prefix}/{name}:{catalogue[name].version}"
        argv = ["skopeo", "inspect", "--no-tags", f"docker://{there}"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"{there}: {error}") from error
        if done.returncode == 0:
            found[catalogue.reference(name)] = str(json.loads(done.stdout)["Digest"])
        else:
            lacking.append(there)
    if lacking:
        raise UsageError(
            f"neither made or imported here, nor to be seen in a registry: {', '.join(lacking)}; "
            f"see: infraforge images build, images import"
        )
    return found


def repository_of(name: str, catalogue: Catalogue) -> str:
    """Where the local registry keeps the image."""
    return f"{REGISTRY}/{catalogue.prefix.partition('/')[2]}/{name}"


def note_path(name: str, catalogue: Catalogue) -> Path:
    """Where it is written which digest the image's present content became."""
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
    """A registry; certs: a folder with the `ca.crt` that vouches for it, None: as set up."""

    certs: Path | None

    def digest_of(self, reference: str) -> str | None:
        """The digest of `HOST/PATH:TAG` or `HOST/PATH@sha256:…`; None where it is not there."""
        argv = ["skopeo", "inspect", "--no-tags", *self._trust("--cert-dir")]
        argv.append(f"docker://{reference}")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return str(json.loads(done.stdout)["Digest"]) if done.returncode == 0 else None

    def tags(self, steps: Steps, repository: str, version: str, digest: str) -> bool:
        """Have `HOST/PATH:VERSION` be this content; False where the registry does not hold it.

        A tag may have been moved on by another version of the platform, or by another source.
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
        """Copy to `HOST/PATH:TAG` of this registry; the digest it has there.

        source: as skopeo names it, `docker://…` of any registry among others.
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
    """The local registry, trusted by this CA; None: another, trusted as the machine is set up."""
    if ca_file is None:
        yield Registry(None)
        return
    with tempfile.TemporaryDirectory() as certs:
        (Path(certs) / "ca.crt").write_bytes(ca_file.read_bytes())
        yield Registry(Path(certs))
