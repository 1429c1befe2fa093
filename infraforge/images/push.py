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

from infraforge.images import build
from infraforge.images.cache import image_dir
from infraforge.images.catalogue import Catalogue
from infraforge.images.progress import Done, Progress, silent
from infraforge.images.steps import Steps

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
    with _trusting(ca_file) as registry, ThreadPoolExecutor(_PARALLEL) as pool:
        digests = pool.map(lambda name: _ensure(name, catalogue, registry, progress), wanted)
        return dict(zip((catalogue.reference(name) for name in wanted), digests, strict=True))


def _ensure(name: str, catalogue: Catalogue, registry: _Registry, progress: Progress) -> str:
    image = build.record(name, catalogue)
    note = image_dir(name) / f"{image.hash}.digest"
    repository = f"docker://{REGISTRY}/{catalogue.prefix.partition('/')[2]}/{name}"
    tagged = f"{repository}:{image.version}"
    steps = Steps(name)
    if note.exists():
        digest = note.read_text().strip()
        if registry.digest_of(tagged) == digest:
            return digest
        if registry.digest_of(f"{repository}@{digest}") == digest:
            # The content is there; the tag was moved on by another version of the platform.
            registry.copy(steps, f"{repository}@{digest}", tagged)
            return digest
    progress(name, "pushing")
    try:
        with tempfile.TemporaryDirectory(dir=note.parent, prefix="push-") as folder:
            archive = Path(folder) / "image.tar"
            steps.docker("docker save", "save", "-o", str(archive), image.tag)
            digest_file = Path(folder) / "digest"
            source = f"docker-archive:{archive}"
            registry.copy(steps, source, tagged, *_FORMAT, f"--digestfile={digest_file}")
            digest = digest_file.read_text().strip()
    except BaseException:
        progress(name, Done("push failed"))
        raise
    partial = note.with_suffix(".part")
    partial.write_text(digest)
    partial.rename(note)
    progress(name, Done(f"pushed {digest[:19]}"))
    return digest


@dataclass(frozen=True)
class _Registry:
    """The local registry; certs: a folder with the `ca.crt` that vouches for it."""

    certs: Path

    def digest_of(self, reference: str) -> str | None:
        argv = ["skopeo", "inspect", "--no-tags", "--cert-dir", str(self.certs), reference]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return str(json.loads(done.stdout)["Digest"]) if done.returncode == 0 else None

    def copy(self, steps: Steps, source: str, target: str, *options: str) -> None:
        argv = ["skopeo", "copy", "--quiet", "--dest-cert-dir", str(self.certs), *options]
        if source.startswith("docker://"):
            argv += ["--src-cert-dir", str(self.certs)]
        steps.run("copy to the registry", [*argv, source, target])


@contextmanager
def _trusting(ca_file: Path) -> Iterator[_Registry]:
    with tempfile.TemporaryDirectory() as certs:
        (Path(certs) / "ca.crt").write_bytes(ca_file.read_bytes())
        yield _Registry(Path(certs))
