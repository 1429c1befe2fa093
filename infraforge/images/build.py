"""Builds images from their recipes with this machine's container runtime.

An image is built when none exists for its content hash. It is tagged with its canonical name and
with its hash, and its Debian packages are recorded under `CACHE/images/`. The tag is set as the
last step, so an interrupted build leaves nothing half-done, and the next build resumes with what is
missing.
"""

from __future__ import annotations

import fcntl
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from infraforge import files
from infraforge.errors import UsageError
from infraforge.images import context, debian, disk, golang
from infraforge.images.cache import cache_dir, image_dir, log_path
from infraforge.images.catalogue import Catalogue, Image
from infraforge.images.errors import BuildError
from infraforge.images.steps import Steps
from infraforge.progress import Done, Progress, silent

_UNFINISHED = "work-"
_ROUNDS = 3


@dataclass(frozen=True)
class ImageRecord:
    """One built image: canonical name, content hash, time and duration in seconds, contents.

    size: bytes, unpacked; packages: Debian package → version.
    """

    name: str
    version: str
    reference: str
    hash: str
    built_at: str
    seconds: float
    size: int
    packages: Mapping[str, str]

    @property
    def tag(self) -> str:
        """The local tag that names exactly this content."""
        return _tag(self.name, self.hash)


def missing(names: Iterable[str], catalogue: Catalogue) -> list[str]:
    """The named images, bases included, that have no build for their content hash."""
    return [image.name for image in _unbuilt(names, catalogue)]


def build(
    names: Iterable[str], catalogue: Catalogue, progress: Progress = silent
) -> dict[str, ImageRecord]:
    """Build the named images and their bases where needed; records by name.

    Go modules are compiled one after another (each uses every core), images in parallel to them.
    Raises BuildError of the first image that fails; UsageError when the disk is too small.
    """
    names = list(names)
    for _ in range(_ROUNDS):
        todo = _unbuilt(names, catalogue)
        if todo:
            debian.check_root(todo)
            disk.check_room(todo, catalogue)
            _build_all(todo, catalogue, progress)
            disk.give_back(catalogue)
        wanted = catalogue.with_bases(names)
        records = {image.name: record(image.name, catalogue) for image in wanted}
        if _name(records.values()):
            return records
    raise UsageError(
        "images disappear while they are being built: another tree of this project builds on this "
        "machine at the same time and removes old images; try again when that build is done"
    )


def compile_tools(modules: Iterable[str], catalogue: Catalogue, progress: Progress) -> None:
    """Compile Go modules whose programs run on this machine and are in no image."""
    for module in modules:
        if not disk.compiled(module, catalogue):
            _compile(module, catalogue, progress)


def record(name: str, catalogue: Catalogue) -> ImageRecord:
    """The record of the image's present content; UsageError when it was never built."""
    path = _record_path(name, catalogue.content_hash(name))
    if not path.exists():
        raise UsageError(f"image {name} is not built; run: infraforge images build {name}")
    try:
        return ImageRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{path} is damaged ({error}); build it again: rm {path}; "
            f"infraforge images build {name}"
        ) from error


def _unbuilt(names: Iterable[str], catalogue: Catalogue) -> list[Image]:
    """Images to build, bases first. Built means that both the image and its record exist."""
    there = _local()
    unbuilt = []
    for image in catalogue.with_bases(names):
        content_hash = catalogue.content_hash(image.name)
        known = _record_path(image.name, content_hash).exists()
        if not known or _tag(image.name, content_hash) not in there:
            unbuilt.append(image)
    return unbuilt


def _local() -> Mapping[str, str]:
    """Local tag → image id."""
    argv = ["image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
    steps = Steps("docker")
    steps.begin()
    printed = steps.docker("list images", *argv)
    return dict(line.split() for line in printed.splitlines())


def _name(records: Iterable[ImageRecord]) -> bool:
    """Tag these contents with their canonical names, which a patched copy of the tree may hold.

    False where a content is gone: another tree's build has removed it meanwhile.
    """
    there = _local()
    for made in records:
        if made.tag not in there:
            return False
        if there.get(made.reference) != there[made.tag]:
            Steps(made.name).docker("tag", "tag", made.tag, made.reference)
    return True


def _build_all(todo: Sequence[Image], catalogue: Catalogue, progress: Progress) -> None:
    modules: dict[str, Future[golang.Built]] = {}
    images: dict[str, Future[ImageRecord]] = {}
    with ThreadPoolExecutor(1) as compiling, ThreadPoolExecutor(2) as making:
        for image in todo:
            for module in image.modules:
                if module not in modules:
                    modules[module] = compiling.submit(_compile, module, catalogue, progress)
        # An image waits only for what was submitted before it, so the pool cannot lock up.
        for image in by_wait(todo, list(modules)):
            images[image.name] = making.submit(_make, image, catalogue, modules, images, progress)
        try:
            for future in images.values():
                future.result()
        finally:
            # cancel builds that have not begun; wait for those that run
            making.shutdown(wait=False, cancel_futures=True)
            compiling.shutdown(wait=False, cancel_futures=True)


def by_wait(todo: Sequence[Image], modules: Sequence[str]) -> list[Image]:
    """The images in a feasible order: what waits for a later Go module comes later.

    todo: bases first; modules: in the order of their compilation.
    """
    weights: dict[str, int] = {}
    for image in todo:
        own = max((modules.index(module) + 1 for module in image.modules), default=0)
        weights[image.name] = max(own, weights.get(image.base, 0))
    return sorted(todo, key=lambda image: weights[image.name])


def _compile(module: str, catalogue: Catalogue, progress: Progress) -> golang.Built:
    log = log_path(f"go-{module}")
    say = lambda step: progress(module, step.removeprefix(f"{module}: "))  # noqa: E731
    try:
        built = golang.build(catalogue.module_dir(module), cache_dir(), log, say)
    except BaseException:
        progress(module, Done("failed"))
        raise
    progress(module, Done("already built" if built.cached else f"built in {built.seconds:.0f} s"))
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
    folder = image_dir(image.name)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building it right now
        if not _unbuilt([image.name], catalogue):
            return record(image.name, catalogue)
        for leftover in folder.glob(f"{_UNFINISHED}*"):
            debian.discard(leftover)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_UNFINISHED) as work:
            try:
                made = _make_in(Path(work), image, catalogue, programs, progress)
            except BaseException as error:
                step = f"{error.step}: " if isinstance(error, BuildError) else ""
                progress(image.name, Done(f"{step}failed"))
                raise
    progress(image.name, Done(f"built in {made.seconds:.0f} s, {made.size / 1e6:.0f} MB"))
    return made


def _make_in(
    work: Path,
    image: Image,
    catalogue: Catalogue,
    programs: Sequence[golang.Built],
    progress: Progress,
) -> ImageRecord:
    started = time.monotonic()
    steps = Steps(image.name)
    steps.begin()
    content_hash = catalogue.content_hash(image.name)
    # not its final tag yet: that one promises that the image is complete
    candidate = f"infraforge/{image.name}:making-{content_hash[:12]}"
    if image.debootstrap:
        progress(image.name, f"debootstrap {image.debootstrap}")
        recipe = catalogue.recipe_dir(image)
        debian.bootstrap(image.debootstrap, recipe, work, candidate, steps)
    else:
        progress(image.name, "assemble")
        folder = work / "context"
        folder.mkdir()
        context.assemble(image, catalogue, programs, folder, steps)
        progress(image.name, "docker build")
        _docker_build(image, catalogue, folder, candidate, steps)
    from_debian = image.base or image.debootstrap
    size = steps.docker("inspect", "image", "inspect", "-f", "{{.Size}}", candidate)
    made = ImageRecord(
        name=image.name,
        version=image.version,
        reference=catalogue.reference(image.name),
        hash=content_hash,
        built_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        seconds=round(time.monotonic() - started, 1),
        size=int(size),
        packages=debian.packages(candidate, steps) if from_debian else {},
    )
    path = _record_path(image.name, content_hash)
    files.replace(path, json.dumps(asdict(made), indent=1, sort_keys=True))
    steps.docker("tag", "tag", candidate, made.tag)
    steps.docker("untag", "image", "rm", candidate)
    return made


def _docker_build(image: Image, catalogue: Catalogue, folder: Path, tag: str, steps: Steps) -> None:
    argv = ["build", "--progress=plain", "--tag", tag, "--label", "infraforge=image"]
    if image.base:
        base = _tag(image.base, catalogue.content_hash(image.base))
        argv += ["--build-arg", f"BASE={base}"]
    if image.program:
        argv += ["--build-arg", f"PROGRAM={image.program}"]
    steps.docker("docker build", *argv, str(folder))


def _tag(name: str, content_hash: str) -> str:
    return f"infraforge/{name}:{content_hash[:12]}"


def _record_path(name: str, content_hash: str) -> Path:
    return image_dir(name) / f"{content_hash}.json"
