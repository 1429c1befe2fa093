"""Copies built images into the local registry, over verified TLS."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infraforge.images import build
from infraforge.images.catalogue import Catalogue
from infraforge.images.errors import BuildError

REGISTRY = "127.0.0.1:5001"
_PARALLEL = 3


def push(
    names: Sequence[str],
    catalogue: Catalogue,
    ca_file: Path,
    progress: build.Progress = lambda _n, _s: None,
) -> dict[str, str]:
    """Copy the images that the registry lacks; canonical reference → `sha256:…` digest.

    Which digest a content hash became is recorded under `CACHE/images/`; an image is copied
    again only when the registry no longer has that digest.
    """
    wanted = [name for name in names if not catalogue[name].local]
    with tempfile.TemporaryDirectory() as certs, ThreadPoolExecutor(_PARALLEL) as pool:
        (Path(certs) / "ca.crt").write_bytes(ca_file.read_bytes())
        digests = pool.map(lambda name: _ensure(name, catalogue, Path(certs), progress), wanted)
        return dict(zip((catalogue.reference(name) for name in wanted), digests, strict=True))


def _ensure(name: str, catalogue: Catalogue, certs: Path, progress: build.Progress) -> str:
    image = build.record(name, catalogue)
    note = build.cache_dir() / "images" / name / f"{image.hash}.digest"
    repository = catalogue.prefix.partition("/")[2] + "/" + name
    tagged = f"docker://{REGISTRY}/{repository}:{image.version}"
    if note.exists():
        digest = note.read_text().strip()
        if _digest_of(tagged, certs) == digest:
            return digest
        if _digest_of(f"docker://{REGISTRY}/{repository}@{digest}", certs) == digest:
            # The content is there; the tag was moved on by another version of the platform.
            _skopeo(name, certs, f"docker://{REGISTRY}/{repository}@{digest}", tagged, None)
            return digest
    progress(name, "pushing")
    with tempfile.TemporaryDirectory(dir=note.parent) as folder:
        archive = Path(folder) / "image.tar"
        build.docker("docker save", "save", "-o", str(archive), image.tag, name=name)
        digest_file = Path(folder) / "digest"
        _skopeo(name, certs, f"docker-archive:{archive}", tagged, digest_file)
        digest = digest_file.read_text().strip()
    note.write_text(digest)
    progress(name, f"pushed {digest[:19]}")
    return digest


def _digest_of(reference: str, certs: Path) -> str | None:
    done = subprocess.run(
        ["skopeo", "inspect", "--no-tags", "--cert-dir", str(certs), reference],
        capture_output=True,
        text=True,
        check=False,
    )
    return str(json.loads(done.stdout)["Digest"]) if done.returncode == 0 else None


def _skopeo(name: str, certs: Path, source: str, target: str, digest_file: Path | None) -> None:
    argv = ["skopeo", "copy", "--quiet", "--dest-cert-dir", str(certs)]
    if source.startswith("docker://"):
        argv += ["--src-cert-dir", str(certs)]
    if digest_file:
        argv += ["--digestfile", str(digest_file)]
    log = build.cache_dir() / "logs" / f"{name}.log"
    done = subprocess.run([*argv, source, target], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(name, "copy to the registry", done.stderr.splitlines()[-15:], log)
