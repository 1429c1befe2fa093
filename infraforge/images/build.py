"""Builds images from their recipes with the container runtime of this machine.

An image is built when no image of its content hash exists; each is tagged with its canonical name
and with its hash. What Debian packages went in is recorded beside it under `CACHE/images/`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from infraforge.errors import UsageError
from infraforge.images import golang
from infraforge.images.catalogue import Catalogue, Image, files
from infraforge.images.errors import BuildError

Progress = Callable[[str, str], None]
"""Called with an image's or module's name and what is being done with it."""

_TAIL = 15
_NEEDED_GB = 45
"""Free disk a cold build wants: Go's module and build caches come to some 30 GB, images to 10."""


@dataclass(frozen=True)
class ImageRecord:
    """What was built: local tag, content hash, seconds it took, Debian packages inside."""

    name: str
    version: str
    reference: str
    hash: str
    seconds: float
    packages: Mapping[str, str]

    @property
    def tag(self) -> str:
        """The local tag that names exactly this content."""
        return f"infraforge/{self.name}:{self.hash[:12]}"


def cache_dir() -> Path:
    """`~/.cache/infraforge`, or what INFRAFORGE_CACHE says."""
    chosen = os.environ.get("INFRAFORGE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "infraforge"


def missing(names: Iterable[str], catalogue: Catalogue) -> list[str]:
    """Those of the named images, bases included, of whose content hash there is no image."""
    have = _local_tags()
    wanted = catalogue.with_bases(names)
    return [i.name for i in wanted if _tag(catalogue, i.name) not in have]


def build(
    names: Sequence[str], catalogue: Catalogue, progress: Progress = lambda _n, _s: None
) -> dict[str, ImageRecord]:
    """Build the named images and their bases, where not built yet; records by name.

    Go modules are compiled one after another (each uses every core), images beside them.
    Raises BuildError of the first image that failed; UsageError when the disk is too small.
    """
    cache = cache_dir()
    have = _local_tags()
    wanted = catalogue.with_bases(names)
    todo = [image for image in wanted if _tag(catalogue, image.name) not in have]
    if todo:
        _check_disk(cache, todo, catalogue)
    modules: dict[str, Future[golang.Built]] = {}
    images: dict[str, Future[ImageRecord]] = {}
    with ThreadPoolExecutor(1) as compiling, ThreadPoolExecutor(2) as making:
        for image in todo:
            for module in image.modules:
                if module not in modules:
                    modules[module] = compiling.submit(_compile, module, catalogue, progress)
        # An image waits only for what was submitted before it, so the pool cannot lock up.
        for image in sorted(todo, key=lambda one: _weight(one, list(modules))):
            images[image.name] = making.submit(_make, image, catalogue, modules, images, progress)
        try:
            for future in (*images.values(), *modules.values()):
                future.result()
        except BaseException:
            for future in (*images.values(), *modules.values()):
                future.cancel()
            raise
    return {image.name: record(image.name, catalogue) for image in wanted}


def record(name: str, catalogue: Catalogue) -> ImageRecord:
    """What is recorded of the image's present content; UsageError when it was never built."""
    path = _record_path(name, catalogue.content_hash(name))
    if not path.exists():
        raise UsageError(f"image {name} is not built; run: infraforge images build {name}")
    return ImageRecord(**json.loads(path.read_text()))


def docker(step: str, *argv: str, name: str = "docker") -> str:
    """Run one docker command; its output. Raises BuildError with the last lines."""
    log = cache_dir() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        out.write(f"$ docker {' '.join(argv)}\n")
        out.flush()
        done = subprocess.run(["docker", *argv], stdout=subprocess.PIPE, stderr=out, text=True)
        out.write(done.stdout)
    if done.returncode != 0:
        raise BuildError(name, step, log.read_text().splitlines()[-_TAIL:], log)
    return done.stdout


def _weight(image: Image, modules: Sequence[str]) -> int:
    """Images that wait for a later Go module come later."""
    return max((modules.index(module) + 1 for module in image.modules if module in modules), default=0)


def _compile(module: str, catalogue: Catalogue, progress: Progress) -> golang.Built:
    log = cache_dir() / "logs" / f"go-{module}.log"
    built = golang.build(
        catalogue.module_dir(module), cache_dir(), log, lambda step: progress(module, step)
    )
    progress(module, "found built" if built.cached else f"built in {built.seconds:.0f} s")
    return built


def _make(
    image: Image,
    catalogue: Catalogue,
    modules: Mapping[str, Future[golang.Built]],
    images: Mapping[str, Future[ImageRecord]],
    progress: Progress,
) -> ImageRecord:
    if image.base in images:
        images[image.base].result()
    programs = [modules[module].result() for module in image.modules]
    tag = _tag(catalogue, image.name)
    lock_path = cache_dir() / "images" / image.name / ".lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else may be building it right now
        if tag in _local_tags():
            return record(image.name, catalogue)
        started = time.monotonic()
        progress(image.name, "started")
        with tempfile.TemporaryDirectory(dir=lock_path.parent) as folder:
            context = Path(folder)
            if image.debootstrap:
                _debootstrap(image, catalogue, context, tag)
            else:
                _assemble(image, catalogue, programs, context)
                _docker_build(image, catalogue, context, tag)
        made = ImageRecord(
            name=image.name,
            version=image.version,
            reference=catalogue.reference(image.name),
            hash=catalogue.content_hash(image.name),
            seconds=round(time.monotonic() - started, 1),
            packages=_packages(image, tag),
        )
        path = _record_path(image.name, made.hash)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(asdict(made), indent=1, sort_keys=True))
        partial.rename(path)
        docker("tag", "tag", tag, made.reference, name=image.name)
        progress(image.name, f"built in {made.seconds:.0f} s")
        return made


def _assemble(
    image: Image, catalogue: Catalogue, programs: Sequence[golang.Built], context: Path
) -> None:
    recipe = catalogue.recipe_dir(image)
    for path in files(recipe):
        _put(path, context / path.relative_to(recipe))
    for built in programs:
        for name, path in built.programs.items():
            _put(path, context / "bin" / name)
        for name, path in built.files.items():
            if path.is_dir():
                shutil.copytree(path, context / "files" / name)
            else:
                _put(path, context / "files" / name)
    for app in image.apps:
        folder = catalogue.tree / app
        for path in files(folder):
            _put(path, context / folder.name / path.relative_to(folder))
    if image.python:
        _pip(image, recipe / image.python, context / "pylib")
    if image.npm:
        _npm(image, catalogue.tree / image.npm, context)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _pip(image: Image, requirements: Path, target: Path) -> None:
    argv = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    argv += ["--only-binary=:all:", "--python-version=3.13", "--implementation=cp"]
    argv += ["--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64"]
    argv += ["--platform=manylinux_2_17_x86_64", "--no-compile", f"--target={target}"]
    _host(image, "install Python packages", [_python(), *argv, "-r", str(requirements)], target.parent)


def _python() -> str:
    """An interpreter that has pip: this one, or the machine's (tox environments may lack it)."""
    import sys  # noqa: PLC0415

    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    return sys.executable if probe.returncode == 0 else "python3"


def _npm(image: Image, source: Path, context: Path) -> None:
    work = context.parent / f"{context.name}-npm"
    try:
        for path in files(source):
            _put(path, work / path.relative_to(source))
        _host(image, "npm ci", ["npm", "ci", "--no-audit", "--no-fund"], work)
        _host(image, "npm run build", ["npm", "run", "build"], work)
        shutil.copytree(work / "dist", context / "dist")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _host(image: Image, step: str, argv: Sequence[str], cwd: Path) -> None:
    log = cache_dir() / "logs" / f"{image.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        done = subprocess.run(argv, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise BuildError(image.name, step, log.read_text().splitlines()[-_TAIL:], log)


def _docker_build(image: Image, catalogue: Catalogue, context: Path, tag: str) -> None:
    argv = ["build", "--progress=plain", "--tag", tag, "--label", "infraforge=image"]
    if image.base:
        argv += ["--build-arg", f"BASE={_tag(catalogue, image.base)}"]
    if image.program:
        argv += ["--build-arg", f"PROGRAM={image.program}"]
    docker("docker build", *argv, str(context), name=image.name)


def _debootstrap(image: Image, catalogue: Catalogue, work: Path, tag: str) -> None:
    root = work / "root"
    mirror = _mirror()
    argv = ["debootstrap", "--variant=minbase", f"--include=ca-certificates"]
    _host(image, "debootstrap", [*argv, image.debootstrap, str(root), mirror], work)
    recipe = catalogue.recipe_dir(image)
    shutil.copy(recipe / "dpkg.cfg", root / "etc/dpkg/dpkg.cfg.d/infraforge")
    shutil.copy(recipe / "apt.conf", root / "etc/apt/apt.conf.d/90infraforge")
    for folder in ("var/lib/apt/lists", "var/cache/apt", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir()
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    archive = work / "root.tar"
    _host(image, "tar", ["tar", "-C", str(root), "-cf", str(archive), "."], work)
    docker("docker import", "import", "-c", "LABEL infraforge=image", str(archive), tag, name=image.name)


def _mirror() -> str:
    """The Debian archive this machine's own apt uses."""
    argv = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.strip():
            return line.strip()
    raise UsageError("apt knows no Debian archive; run: apt-get update")


def _packages(image: Image, tag: str) -> Mapping[str, str]:
    if not (image.base or image.debootstrap):
        return {}
    argv = ["run", "--rm", "--network=none", "--user=0", "--entrypoint=/usr/bin/dpkg-query", tag]
    lines = docker("list packages", *argv, "-W", "-f", "${Package} ${Version}\n", name=image.name)
    return dict(line.split(" ", 1) for line in lines.splitlines() if " " in line)


def _check_disk(cache: Path, todo: Sequence[Image], catalogue: Catalogue) -> None:
    cold = any(
        not (cache / "go" / module / golang.hash_of(catalogue.module_dir(module))).is_dir()
        for image in todo
        for module in image.modules
        if module in ("kubernetes", "cilium", "vault", "minio")
    )
    cache.mkdir(parents=True, exist_ok=True)
    needed = _NEEDED_GB if cold else 8
    free = shutil.disk_usage(cache).free / 1e9
    if free < needed:
        raise UsageError(
            f"{cache}: {free:.0f} GB free, {needed} GB are needed to build {len(todo)} images; "
            f"free some, or set INFRAFORGE_CACHE to a larger disk"
        )


def _tag(catalogue: Catalogue, name: str) -> str:
    return f"infraforge/{name}:{catalogue.content_hash(name)[:12]}"


def _local_tags() -> frozenset[str]:
    listed = docker("list images", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    return frozenset(listed.split())


def _record_path(name: str, content_hash: str) -> Path:
    return cache_dir() / "images" / name / f"{content_hash}.json"
