"""Go programs from modules: fetched with the machine's own Go settings, verified by go.sum.

A folder of `platform/images/modules/` holds `go.mod` and `go.sum` (the whole graph, pinned) and
`module.toml`, whose keys are:

    version     the version, for readers
    tags        build tags
    ldflags     for the linker, `-X package.variable=value`
    [programs]  NAME = "package"; every program of the folder is built in one call
    [files]     NAME = ["module", "path inside it"]: a file or folder copied unchanged
    [copies]    NAME = ["module", "version", "h1:…"]: a module that cannot be built as published,
                copied to copies/NAME with the patches of `patches/NAME/` applied, or those of
                `patches/` where that folder is not there; go.mod replaces the module by the copy.
                go.sum does not cover such a folder, so the module's sum stands here.

A result lives in `CACHE/go/NAME/HASH/` and appears there in one rename: an interrupted build
leaves nothing half-done, and Go's own build cache lets the next one resume where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from infraforge.images.errors import BuildError

PLATFORM = "linux/amd64"
_TAIL = 15
_MAJOR = re.compile(r"v\d+")


@dataclass(frozen=True)
class Built:
    """The result of one module folder: programs and other files by name, and their content hash."""

    programs: Mapping[str, Path]
    files: Mapping[str, Path]
    hash: str
    seconds: float
    cached: bool


def hash_of(module_dir: Path) -> str:
    """sha256 hex over every file of the folder and the target platform.

    The Go toolchain's version is not part of it: go.mod's `go` line fixes the language version,
    and a toolchain's patch release is no reason to rebuild.
    """
    sha = hashlib.sha256(PLATFORM.encode())
    for path in sorted(p for p in module_dir.rglob("*") if p.is_file()):
        sha.update(f"\0{path.relative_to(module_dir)}\0".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def build(
    module_dir: Path, cache: Path, log: Path, progress: Callable[[str], None] = lambda _: None
) -> Built:
    """Build the folder's programs, unless they are built already.

    cache: where results and Go's build cache live; log: overwritten by each build;
    progress: called with each step as it begins.
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
        for leftover in target.parent.glob("*.part"):  # from interrupted builds
            shutil.rmtree(leftover, ignore_errors=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            _make(module_dir, work, _Steps(name, cache, out, log, progress))
        (work / "result").rename(target)
        shutil.rmtree(work, ignore_errors=True)
        return _built(target, digest, time.monotonic() - started, cached=False)


def drop_build_cache(cache: Path) -> None:
    """Delete Go's build cache (some 20 GB after a full build)."""
    shutil.rmtree(cache / "go-build", ignore_errors=True)


def _built(target: Path, digest: str, seconds: float, *, cached: bool) -> Built:
    programs = {path.name: path for path in sorted((target / "bin").iterdir())}
    files = {path.name: path for path in sorted((target / "files").iterdir())}
    return Built(MappingProxyType(programs), MappingProxyType(files), digest, seconds, cached)


@dataclass(frozen=True)
class _Steps:
    """Runs the steps of one build: announces and logs each; raises BuildError when one fails."""

    name: str
    cache: Path
    out: IO[str]
    log: Path
    progress: Callable[[str], None]

    def run(self, step: str, argv: Sequence[str], cwd: Path) -> str:
        """The step's standard output, stripped."""
        self.progress(f"{self.name}: {step}")
        self.out.write(f"$ {' '.join(argv)}\n")
        self.out.flush()
        try:
            done = subprocess.run(
                argv,
                cwd=cwd,
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=self.out,
                text=True,
                check=False,
            )
        except OSError as error:
            raise self.failed(step, f"{argv[0]}: {error.strerror}; is it installed?") from error
        if done.returncode != 0:
            raise self.failed(step, done.stdout)
        self.out.write(done.stdout)
        self.out.flush()
        return done.stdout.strip()

    def failed(self, step: str, why: str) -> BuildError:
        self.out.write(f"{why}\n" if why else "")
        self.out.flush()
        lines = self.log.read_text(errors="replace").splitlines()
        return BuildError(self.name, step, lines[-_TAIL:], self.log)

    def _environment(self) -> Mapping[str, str]:
        # settings that affect the result are fixed here; proxy, checksum database and module
        # cache are the machine's own
        return {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOOS": "linux",
            "GOARCH": "amd64",
            "GOAMD64": "v1",
            "GOWORK": "off",
            # let an older toolchain fetch the one that go.mod names (Debian's default forbids it)
            "GOTOOLCHAIN": os.environ.get("GOTOOLCHAIN", "auto"),
            "GOCACHE": str(self.cache / "go-build"),
        }


def _make(module_dir: Path, work: Path, steps: _Steps) -> None:
    what = tomllib.loads((module_dir / "module.toml").read_text())
    source = work / "source"
    result = work / "result"
    shutil.copytree(module_dir, source)
    (result / "bin").mkdir(parents=True)
    (result / "files").mkdir()
    for copy, (module, version, pinned) in what.get("copies", {}).items():
        step = f"fetch {module}"
        argv = ["go", "mod", "download", "-json", f"{module}@{version}"]
        fetched = json.loads(steps.run(step, argv, work))
        if fetched["Sum"] != pinned:
            raise steps.failed(step, f"its sum is {fetched['Sum']}, but module.toml has {pinned}")
        place = source / "copies" / copy
        _copy_writable(Path(fetched["Dir"]), place)
        own = source / "patches" / copy
        patches = own if own.is_dir() else source / "patches"
        for patch in sorted(patches.glob("*.patch")):
            steps.run(f"apply {patch.name}", ["patch", "-p1", "-i", str(patch)], place)
    _compile(what, source, result / "bin", steps)
    for key, (module, path) in what.get("files", {}).items():
        argv = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
        folder = steps.run(f"find {module}", argv, source)
        _copy_writable(Path(folder) / path, result / "files" / key)


def _compile(what: Mapping[str, Any], source: Path, target: Path, steps: _Steps) -> None:
    """Compile all programs in one call, so that Go uses every core for compiling and linking."""
    programs: Mapping[str, str] = what["programs"]
    argv = ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    argv += [f"-tags={','.join(what.get('tags', []))}"]
    argv += [f"-ldflags={' '.join(['-s', '-w', *what.get('ldflags', [])])}"]
    step = f"build {', '.join(programs)}"
    if len(programs) == 1:
        [(program, package)] = programs.items()
        steps.run(step, [*argv, "-o", str(target / program), package], source)
        return
    made = target.parent / "made"
    made.mkdir()
    steps.run(step, [*argv, "-o", f"{made}/", *programs.values()], source)
    for program, package in programs.items():
        (made / _executable(package)).rename(target / program)
    made.rmdir()


def _executable(package: str) -> str:
    """The name Go gives a package's program: the last path element that is no major version."""
    return next(part for part in reversed(package.split("/")) if not _MAJOR.fullmatch(part))


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
