"""Go programs from modules: fetched through the machine's own Go settings, verified by go.sum.

A folder of `platform/images/modules/` holds `go.mod` and `go.sum` (the whole graph, pinned),
`module.toml` (what to build) and, where a module cannot be built as published, `patches/`.
A result lives in `CACHE/go/NAME/HASH/` and appears there in one rename: an interrupted build
leaves nothing half-done, and Go's own build cache lets the next one go on where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from infraforge.images.errors import BuildError

PLATFORM = "linux/amd64"
_TAIL = 15


@dataclass(frozen=True)
class Built:
    """What one module folder gives: programs and other files by name, and their content hash."""

    programs: Mapping[str, Path]
    files: Mapping[str, Path]
    hash: str
    seconds: float
    cached: bool


def hash_of(module_dir: Path) -> str:
    """sha256 hex over every file of the folder and the platform built for.

    The Go toolchain's version is not part of it: go.mod's `go` line says what the language
    version is, and a program need not be built anew for every toolchain patch release.
    """
    sha = hashlib.sha256(PLATFORM.encode())
    for path in sorted(p for p in module_dir.rglob("*") if p.is_file()):
        sha.update(f"\0{path.relative_to(module_dir)}\0".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def build(
    module_dir: Path, cache: Path, log: Path, progress: Callable[[str], None] = lambda _: None
) -> Built:
    """Build the folder's programs, or find them built.

    Raises BuildError naming the step that failed, with the last lines of its output.
    """
    name = module_dir.name
    digest = hash_of(module_dir)
    target = cache / "go" / name / digest
    target.parent.mkdir(parents=True, exist_ok=True)
    if (target / "bin").is_dir():
        return _built(target, digest, 0.0, cached=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another build of the same module: wait, then use it
        if (target / "bin").is_dir():
            return _built(target, digest, 0.0, cached=True)
        started = time.monotonic()
        work = target.parent / f"{digest}.part"
        shutil.rmtree(work, ignore_errors=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            _make(module_dir, work, cache, out, log, progress)
        (work / "result").rename(target)
        shutil.rmtree(work, ignore_errors=True)
        return _built(target, digest, time.monotonic() - started, cached=False)


def drop_build_cache(cache: Path) -> None:
    """Give back the disk of Go's build cache (some 20 GB after a whole build)."""
    shutil.rmtree(cache / "go-build", ignore_errors=True)


def _built(target: Path, digest: str, seconds: float, *, cached: bool) -> Built:
    programs = {path.name: path for path in sorted((target / "bin").iterdir())}
    files = {path.name: path for path in sorted((target / "files").iterdir())}
    return Built(MappingProxyType(programs), MappingProxyType(files), digest, seconds, cached)


def _make(
    module_dir: Path,
    work: Path,
    cache: Path,
    out: IO[str],
    log: Path,
    progress: Callable[[str], None],
) -> None:
    what = tomllib.loads((module_dir / "module.toml").read_text())
    name = module_dir.name
    source = work / "source"
    result = work / "result"
    shutil.copytree(module_dir, source)
    (result / "bin").mkdir(parents=True)
    (result / "files").mkdir()
    env = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": "amd64",
        "GOCACHE": str(cache / "go-build"),
        "GOWORK": "off",
    }

    def run(step: str, argv: Sequence[str], cwd: Path) -> str:
        progress(f"{name}: {step}")
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        done = subprocess.run(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=out, text=True)
        out.write(done.stdout)
        out.flush()
        if done.returncode != 0:
            raise BuildError(name, step, log.read_text().splitlines()[-_TAIL:], log)
        return done.stdout.strip()

    for copy, (module, version) in what.get("copies", {}).items():
        # `go mod download` checks the module against the checksum database before it is copied
        folder = run(
            f"fetch {module}",
            ["go", "mod", "download", f"{module}@{version}"],
            work,
        )
        folder = run(
            f"find {module}",
            ["go", "list", "-m", "-f", "{{.Dir}}", f"{module}@{version}"],
            work,
        )
        place = source / "copies" / copy
        _copy_writable(Path(folder), place)
        for patch in sorted((source / "patches").glob("*.patch")):
            run(f"apply {patch.name}", ["patch", "-p1", "-i", str(patch)], place)
    for program, package in what["programs"].items():
        run(
            f"build {program}",
            [
                "go",
                "build",
                "-mod=readonly",
                "-trimpath",
                f"-tags={','.join(what.get('tags', []))}",
                f"-ldflags={' '.join(['-s', '-w', *what.get('ldflags', [])])}",
                "-o",
                str(result / "bin" / program),
                package,
            ],
            source,
        )
    for key, (module, path) in what.get("files", {}).items():
        folder = run(f"find {module}", ["go", "list", "-m", "-f", "{{.Dir}}", module], source)
        _copy_writable(Path(folder) / path, result / "files" / key)


def _copy_writable(source: Path, target: Path) -> None:
    """Copy out of Go's module cache, whose files are read-only."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o644 | (source.stat().st_mode & 0o111))
        return
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
